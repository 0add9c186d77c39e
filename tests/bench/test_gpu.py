"""The GPU bench says no where a bar is missed or nothing was run (its checks: tests/cuda/test_gpu_checks.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bench import gpu, gpu_checks
from tests.bench.gpu_cases import differences
from tests.bench.gpu_checks import short_fit
from tests.bench.gpu_verdicts import (
    MissedError,
    NotRunError,
    missed_by_case,
    missed_by_fit,
    missed_by_images,
    missed_by_tests,
    run_steps,
    settle,
)

IDENTICAL = {name: {"mean": 0.0, "max": 0.0, "over": 0.0} for name in ("color", "alpha", "normal", "depth")}
ROW = {
    "surfels": 50_000,
    "width": 512,
    "height": 512,
    "cuda": {"total_ms": 1.0, "memory_mb": 100.0},
    "gsplat": {"total_ms": 2.0, "memory_mb": 101.0},
    "difference": IDENTICAL,
}
NAN = float("nan")


# ------------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"gsplat": {"total_ms": 1.99, "memory_mb": 101.0}}, ["50000 at 512x512: 1.99 times faster, not 2"]),
        ({"gsplat": {"total_ms": NAN, "memory_mb": 101.0}}, ["50000 at 512x512: nan times faster, not 2"]),
        ({"cuda": {"total_ms": 1.0, "memory_mb": 101.0}}, ["50000 at 512x512: 101 MB, not less than 101"]),
        (
            {"difference": {**IDENTICAL, "alpha": {"over": 0.0101}, "depth": {"over": 1.0}}},
            ["50000 at 512x512: alpha differs by more than 0.001 in 1.01 % of the pixels"],
        ),
    ],
)
def test_bars_of_the_benchmark(changes: dict[str, Any], missed: list[str]):
    assert missed_by_case({**ROW, **changes}) == missed


def test_images_that_are_not_numbers_are_not_equal():
    image = torch.full((4, 5, 3), NAN)
    found = differences({"color": image}, {"color": torch.zeros(4, 5, 3)})
    assert found["color"]["over"] == 1.0
    assert missed_by_images({**IDENTICAL, **found}, "x")
    half = torch.zeros(4, 5, 3)
    half[:2, :, 1] = 0.002
    assert differences({"color": half}, {"color": torch.zeros(4, 5, 3)})["color"]["over"] == 0.5


@pytest.mark.parametrize(("cuda", "cpu", "missed"), [(29.5, 30.0, 0), (29.4, 30.0, 1), (33.0, 30.0, 0), (NAN, 30.0, 1)])
def test_a_fit_may_not_be_worse_than_the_cpus(cuda: float, cpu: float, missed: int):
    assert len(missed_by_fit(cuda, cpu)) == missed


@pytest.mark.parametrize(
    ("printed", "code", "missed"),
    [
        ("SKIPPED [3] tests/render/test_x.py:1: no chromium\n90 passed, 3 skipped", 0, 0),
        ("SKIPPED [1] tests/render/test_x.py:1: torch sees no CUDA device\n90 passed, 1 skipped", 0, 1),
        ("SKIPPED [1] tests/cuda/test_module.py:1: _ext_cuda was not built: install\n90 passed", 0, 1),
        ("FAILED tests/render/test_x.py::test_y\n1 failed, 90 passed", 1, 2),
        ("", 4, 1),
    ],
)
def test_tests_that_did_not_run_on_the_gpu_are_no_pass(printed: str, code: int, missed: int):
    assert len(missed_by_tests(printed, code)) == missed


def missing() -> dict[str, Any]:
    raise NotRunError("no such tool", {"ours_ms": 3})


def slow() -> dict[str, Any]:
    return settle(["too slow"], {"ms": 9})


def broken() -> dict[str, Any]:
    raise subprocess.CalledProcessError(1, "cmake", stderr="no compiler")


def fine() -> dict[str, Any]:
    return settle([], {"ms": 1})


@pytest.mark.parametrize(
    ("step", "status", "numbers", "why"),
    [
        (fine, "passed", {"ms": 1}, None),
        (missing, "not run", {"ours_ms": 3}, "no such tool (--skip odd if that is meant)"),
        (slow, "missed", {"ms": 9}, "too slow"),
        (broken, "failed", {}, "CalledProcessError: Command 'cmake' returned non-zero exit status 1.\nno compiler"),
    ],
)
def test_only_passing_or_being_skipped_by_name_is_a_success(
    step: Callable[[], dict[str, Any]], status: str, numbers: dict[str, Any], why: str | None, tmp_path: Path
):
    told: list[str] = []
    path = tmp_path / "out" / "gpu.json"
    steps = {"first": fine, "odd": step, "last": fine}
    assert run_steps(steps, [], {"device": "one"}, path, told.append) == (status != "passed")
    report = json.loads(path.read_text())
    assert report["device"] == "one"
    assert [report[name]["status"] for name in steps] == ["passed", status, "passed"]
    assert report["odd"].get("why") == why
    assert numbers.items() <= report["odd"].items()
    assert any(line.startswith(f"odd          {status}") for line in told)
    assert run_steps(steps, ["odd"], {}, path, told.append) == 0
    assert json.loads(path.read_text())["odd"]["status"] == "skipped"


def test_names_to_skip_are_those_of_steps(capsys: pytest.CaptureFixture[str]):
    assert gpu.parsed(["--skip", "gsplat", "fit", "--skip", "sanitizer"]).skip == ["gsplat", "fit", "sanitizer"]
    with pytest.raises(SystemExit) as caught:
        gpu.parsed(["--skip", "gsplatt"])
    assert caught.value.code == 2
    assert "invalid choice: 'gsplatt'" in capsys.readouterr().err


def test_every_name_is_a_step_and_every_step_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given: dict[str, Any] = {}

    def steps_only(steps: dict[str, Any], skip: list[str], *rest: Any) -> int:
        given.update(steps)
        return 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "pretended")
    monkeypatch.setattr(gpu.gpu_verdicts, "run_steps", steps_only)
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 0
    assert tuple(given) == gpu.STEPS
    for name in ("agreement", "streams", "graphs", "gsplat", "short_fit"):
        monkeypatch.setattr(gpu_checks, name, lambda name=name: {"ran": name})
    assert [given[name]()["ran"] for name in ("agreement", "streams", "graphs", "gsplat", "fit")] == [
        *("agreement", "streams", "graphs", "gsplat", "short_fit")
    ]


def test_a_benchmark_without_gsplat_is_not_run_unless_that_is_meant(monkeypatch: pytest.MonkeyPatch):
    ours = {"forward_ms": 1.0, "backward_ms": 2.0, "total_ms": 3.0, "memory_mb": 4.0}
    monkeypatch.setattr(gpu, "timed", lambda *case: {"cuda": ours})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotRunError, match="gsplat is not installed") as caught:
        gpu.benchmark(alone=False)
    assert len(caught.value.numbers["cases"]) == 5
    assert len(gpu.benchmark(alone=True)["cases"]) == 5


def test_a_benchmark_that_misses_a_bar_says_so_and_keeps_its_numbers(monkeypatch: pytest.MonkeyPatch):
    ours = {"forward_ms": 1.0, "backward_ms": 2.0, "total_ms": 3.0, "memory_mb": 4.0}
    theirs = {**ours, "total_ms": 5.0, "memory_mb": 5.0}
    row = {"cuda": ours, "gsplat": theirs, "difference": IDENTICAL, "speed_up": 5 / 3}
    monkeypatch.setattr(gpu, "timed", lambda *case: row)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.5.3")
    with pytest.raises(MissedError, match=r"2000000 at 1920x1080: 1\.67 times faster, not 2") as caught:
        gpu.benchmark(alone=False)
    assert len(caught.value.numbers["cases"]) == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_one_line_and_a_code_of_its_own(repository: Path, tmp_path: Path):
    code = (
        "import sys; sys.argv = ['gpu.py']; sys.path[:0] = ['.']\n"
        "from tests.bench import gpu\nassert 'recon4d' not in sys.modules  # before the build\nsys.exit(gpu.main())"
    )
    for command in ([str(repository / "tests/bench/gpu.py")], ["-c", code]):
        run = [sys.executable, *command]
        done = subprocess.run(run, check=False, cwd=repository, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2, done.stderr
        assert done.stderr == "gpu: torch sees no CUDA device: nothing was run, nothing was measured\n"
        assert done.stdout == ""


def test_the_short_fit_fits():
    dataset = {"frames": 8, "test_frames": 2, "width": 40, "height": 40, "detail": 0.2}
    small = {
        "iterations": 12,
        "surfels": 400,
        "initial_surfels": 300,
        "bones": 4,
        "bones_at_first": 4,
        "hull_voxels": 24,
    }
    found = short_fit(("cpu", "cpu"), dataset, **small)
    assert found["cuda"]["psnr"] == found["cpu"]["psnr"] > 10
    assert found["cuda"]["seconds"] > 0
