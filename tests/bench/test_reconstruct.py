"""The bench measures what it says: bars, memory of one step alone, and what can be run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench import reconstruct
from tests.bench.reconstruct import FIRST, MISSED, NEXT, Bench, Ran, run_step, table, verdict
from tests.bench.sheet import cropped


def make(tmp_path: Path, **changes: object) -> Bench:
    options = {"samples": None, "preset": "draft", "seed": 0, "direct": False, "limit": 60.0} | changes
    return Bench(tmp_path / "out", tmp_path / "data", **options)


@pytest.mark.parametrize(
    ("value", "first", "beyond", "reached"),
    [(34, 30, 34, NEXT), (33.9, 30, 34, FIRST), (29.9, 30, 34, MISSED), (0.5, 1, 0.5, NEXT), (1.1, 1, 0.5, MISSED)],
)
def test_bars_are_reached_from_either_side(value, first, beyond, reached):
    assert verdict(value, first, beyond) == reached


def test_a_step_is_measured_alone(repository, tmp_path):
    # In a program as small as the bench: a child of this one would begin with the memory of the tests.
    code = f"""
import sys
from pathlib import Path
from tests.bench.reconstruct import run_step
assert "numpy" not in sys.modules and "torch" not in sys.modules
large = "import time; x = bytearray(200_000_000); time.sleep(0.5); print('done')"
for step in ("pass", large, "pass"):
    ran = run_step([sys.executable, "-c", step], Path({str(tmp_path / "log")!r}), 60)
    print(ran.code, ran.seconds, ran.megabytes)
    if step == large:
        print(Path({str(tmp_path / "log")!r}).read_text().strip())
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True, timeout=120
    )
    small, large, done, again = (line.split() for line in printed.stdout.splitlines())
    assert [line[0] for line in (small, large, again)] == ["0", "0", "0"]
    assert float(large[1]) > 0.5
    assert float(large[2]) - float(small[2]) == pytest.approx(200, abs=25)
    assert float(again[2]) == pytest.approx(float(small[2]), abs=25)
    assert done == ["done"]


def test_a_step_that_fails_or_hangs_is_told(tmp_path):
    assert run_step([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "a.log", 60).code == 3
    hung = run_step([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "a.log", 0.3)
    assert hung.code is None
    assert hung.seconds < 10


def test_rows_that_need_samples_are_left_out_with_a_line(tmp_path):
    bench = make(tmp_path)
    cases = list(bench.cases(["orbit", "real", "memory", "memory300"], ["fish", "jelly", "Fox.glb"], []))
    assert [(case.row, case.subject) for case in cases] == [
        *(("orbit", name) for name in ("fish", "jelly")),
        *(("memory", name) for name in ("fish", "jelly")),
        ("memory300", "fish"),
    ]
    assert len(bench.said) == 3
    assert all("RECON4D_SAMPLES" in line for line in bench.said)
    direct = make(tmp_path, direct=True, samples=tmp_path)
    assert list(direct.cases(["turning", "real"], ["fish"], [])) == []
    assert len(direct.said) == 2


def test_paths_and_options_of_real_videos(tmp_path):
    for name in ("video/apple.mp4", "frames/camel/images/0.png", "frames/camel/masks/0.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    bench = make(tmp_path, samples=tmp_path)
    apple, camel = bench.cases(["real"], [], ["camel", "apple"])
    assert camel.source == tmp_path / "frames/camel/images"
    assert camel.reconstruct == ("--masks", str(tmp_path / "frames/camel/masks"), "--train-every", "4")
    assert apple.reconstruct == ("--train-every", "4")


def test_a_video_without_cameras_is_scored_against_its_data_set(tmp_path):
    (case,) = make(tmp_path).cases(["turning"], ["fish"], [])
    assert case.source == case.dataset / "train.mp4"
    (given,) = make(tmp_path).cases(["orbit"], ["fish"], [])
    assert given.source == given.dataset == case.dataset


def test_what_is_there_is_not_run_again_and_a_failure_leaves_nothing(tmp_path, capsys, monkeypatch):
    ran: list[str] = []

    def step(command: list[str], log: Path, limit: float) -> Ran:
        ran.append(log.name.split(".")[-2])
        log.write_text("out of luck\n")
        scores = [word for word in command if word.endswith(".scores.json")]
        if scores:
            Path(scores[0]).write_text(json.dumps({"psnr": 31.5, "chamfer_percent": 2.0, "ssim": None, "notes": []}))
        return Ran(1 if "jelly" in log.name else 0, 250.0, 400.0, 900.0, 0.5)

    monkeypatch.setattr(reconstruct, "run_step", step)
    monkeypatch.delenv("RECON4D_SAMPLES", raising=False)
    arguments = ["--rows", "orbit", "--subjects", "fish,jelly", "--out", str(tmp_path)]
    assert reconstruct.main(arguments) == 1
    assert ran == ["synthesize", "reconstruct", "evaluate", "sheet", "synthesize"]
    printed = capsys.readouterr().out
    assert "| fish | 31.5 + | 2 (missed) | 250 ++ | 400 | 900 |" in printed
    assert "failed: orbit jelly: synthesize: exit code 1: out of luck" in printed
    assert (tmp_path / "table.md").read_text() == printed
    ran.clear()
    assert reconstruct.main(arguments) == 1
    assert ran == ["synthesize"]
    ran.clear()
    assert reconstruct.main([*arguments, "--again", "--subjects", "fish"]) == 0
    assert ran == ["synthesize", "reconstruct", "evaluate", "sheet"]


def test_a_reconstruction_is_kept_when_what_follows_fails(tmp_path, capsys, monkeypatch):
    ran: list[str] = []

    def step(command: list[str], log: Path, limit: float) -> Ran:
        name = log.name.split(".")[-2]
        ran.append(name)
        log.write_text("")
        if name == "reconstruct":
            Path(command[command.index("-o") + 1]).mkdir(exist_ok=True)
        return Ran(1 if name == "evaluate" else 0, 10.0, 20.0, 30.0, 0.5)

    monkeypatch.setattr(reconstruct, "run_step", step)
    arguments = ["--rows", "orbit", "--subjects", "fish", "--out", str(tmp_path)]
    for expected in (["synthesize", "reconstruct", "evaluate"], ["synthesize", "evaluate"]):
        assert reconstruct.main(arguments) == 1
        assert ran == expected
        ran.clear()
    assert "evaluate: exit code 1" in capsys.readouterr().out


def test_warnings_stand_below_the_table():
    result = {"subject": "cat", "scores": {"psnr_masked": 20.0}, "warnings": ["seen from one side"]}
    ran = {"seconds": 1.0, "cpu_seconds": 1.0, "megabytes": 1, "load": 1.5, "cores": 2}
    text = table("real", [result | ran])
    assert "| cat | 20 (missed) |" in text
    assert "- cat: seen from one side" in text
    assert "busy" not in text
    assert "- cat: the machine was busy (load 9 on 2 cores)" in table("real", [result | ran | {"load": 9.0}])


def test_an_unknown_row_is_an_error(capsys):
    with pytest.raises(SystemExit):
        reconstruct.parse(["--rows", "orbit,loop"])
    assert "no row loop" in capsys.readouterr().err


def test_sheets_lose_their_common_white_margin():
    tiles = np.full((2, 3, 40, 50, 3), 255, np.uint8)
    tiles[0, 0, 10, 20] = 0
    tiles[1, 2, 15, 30] = 0
    assert cropped(tiles).shape == (2, 3, 14, 19, 3)
    blank = np.full((1, 1, 5, 5, 3), 255, np.uint8)
    assert cropped(blank).shape == blank.shape
