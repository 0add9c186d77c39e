"""`recon4d reconstruct` as a user or another program meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recon4d.cli import main
from recon4d.cli import reconstruct as command
from recon4d.scene import load
from tests.pipeline import tiny


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip") / "my clip.mp4", 6)


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """The fit of the presets, made small."""
    whole = command.reconstruct

    def reconstruct(*arguments, **options):
        return whole(*arguments, **(options | {"config": tiny.config(iterations=8)}))

    monkeypatch.setattr(command, "reconstruct", reconstruct)


def run(clip: Path, output: Path, *rest: str) -> int:
    return main(["reconstruct", str(clip), "-o", str(output), "--cameras", "static", *rest])


def test_words_for_people(clip, tmp_path, capsys):
    assert run(clip, tmp_path / "o.r4d") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert re.fullmatch(r"On fitted frames: PSNR of the subject [\d.]+, .*", lines[0])
    assert re.fullmatch(r"240 surfels in \d+ s, at most \d+ MiB\.|\d+ surfels in \d+ s, at most \d+ MiB\.", lines[1])
    assert lines[2].split()[0] == str(tmp_path / "o.r4d")
    assert lines[3].split()[0] == str(tmp_path / "o.r4d" / "report.html")
    told = printed.err.splitlines()
    assert told[0].startswith("ingest: 6 frames, 48x48")
    assert any(line.startswith("warning: ") for line in told)
    assert any(re.match(r"fit: 8 of 8  loss [\d.]+  [\d.]+ dB  \d+ surfels", line) for line in told)


def test_lines_for_machines(clip, tmp_path, capsys):
    assert run(clip, tmp_path / "o.r4d", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert all(isinstance(event["event"], str) for event in events)
    stages = [event for event in events if event["event"] == "stage"]
    assert [(e["stage"], e["state"]) for e in stages[:2]] == [("ingest", "started"), ("ingest", "done")]
    assert {e["stage"] for e in stages} == {"ingest", "masks", "cameras", "tracks", "fit", "evaluate", "write"}
    (fit,) = (e for e in events if e["event"] == "progress" and e["stage"] == "fit" and e["done"] == 8)
    assert set(fit) == {
        "event", "stage", "part", "done", "total", "loss", "psnr", "surfels", "seconds", "seconds_left",
    }  # fmt: skip
    done = events[-1]
    assert done["event"] == "done"
    assert done["warnings"] == [e["text"] for e in events if e["event"] == "warning"]
    assert load(done["scene"]).provenance["scores"] == done["scores"]
    assert Path(done["report"]).is_file()
    assert json.loads(Path(done["metrics"]).read_text())["scores"] == done["scores"]


def test_quiet_is_quiet(clip, tmp_path, capsys):
    assert run(clip, tmp_path / "o.r4d", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_and_an_event(clip, tmp_path, capsys):
    assert run(clip, tmp_path / "o.r4d", "--json", "--cameras", "file") == 2
    printed = capsys.readouterr()
    (event,) = (json.loads(line) for line in printed.out.splitlines())
    assert event["event"] == "error"
    assert event["what"] == "--cameras file"
    assert printed.err.count("\n") == 1
    assert printed.err == (
        f"recon4d: {event['what']}: expected {event['expected']}, got {event['got']}. Fix: {event['fix']}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", [["--quiet", "--json"], ["--keep-out", "some"], ["--seed", "-1"]])
def test_wrong_options_are_one_line(clip, tmp_path, capsys, rest):
    assert run(clip, tmp_path / "o.r4d", *rest) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"recon4d: {rest[0]}: expected")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupt_says_how_to_go_on(clip, tmp_path, capsys, monkeypatch, as_json):
    output = tmp_path / "o.r4d"
    options = ["reconstruct", str(clip), "-o", str(output), "--cameras", "static", *(["--json"] if as_json else [])]
    whole = command.reconstruct

    def interrupted(*arguments, listen, **rest):
        def stop(event) -> None:
            listen(event)
            if type(event).__name__ == "Fitting":
                raise KeyboardInterrupt

        return whole(*arguments, listen=stop, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(command, "reconstruct", interrupted)
        patch.setattr("sys.argv", ["recon4d", *options])
        assert main(options) == 130
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    again = f"recon4d reconstruct '{clip}' -o {output} --cameras static{' --json' if as_json else ''} --resume"
    assert last == f"recon4d: interrupted; go on where it stopped: {again}"
    if as_json:
        assert json.loads(printed.out.splitlines()[-1]) == {"event": "interrupted", "resume": again}
    assert not output.exists()
    assert main([*options, "--resume"]) == 0
    assert output.is_dir()


def test_bars_for_a_terminal(clip, tmp_path):
    """The terminal's listener takes every event of a job, and leaves the stages as lines."""
    import io

    from rich.console import Console

    from recon4d.pipeline import reconstruct

    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with command._Bars(console) as bars:
        reconstruct(clip, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(iterations=8), listen=bars)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    for stage in ("ingest", "masks", "cameras", "tracks", "fit", "evaluate", "write"):
        assert f"\u2713 {stage:<8}" in plain
    assert "! " in plain
