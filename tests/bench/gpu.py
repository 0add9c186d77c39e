"""Everything that needs a GPU, in one run: python tests/bench/gpu.py [--json FILE] [--skip NAME ...].

Builds the CUDA module, runs the render tests on it and compute-sanitizer over it, compares it with the `cpu` backend,
draws on other streams and devices and from a CUDA graph, draws through `backend="gsplat"`, times it side by side with
gsplat 1.5.3 `rasterization_2dgs`, and fits a small creature; prints a table and leaves JSON.

Every step ends with a verdict.  Exit code: 0 when all have passed; 1 when one failed, missed a bar (`gpu_verdicts.py`)
or could not run, because gsplat or compute-sanitizer is missing, say, and was not skipped by its name; 2 where there is
no GPU.

Timing: forward and backward with CUDA events, median of 40 after 10 that do not count, the same tensors and the same
random gradients of all images for both.  gsplat runs with RGB+ED, distloss, packed=False and colours [C, N, 3].
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY)]

# Whatever imports recon4d, and with it the native modules, is imported by the steps: after the build.
from tests.bench import gpu_verdicts  # noqa: E402
from tests.bench.gpu_verdicts import FASTER, MissedError, NotRunError, Step, missed_by_case, settle  # noqa: E402

CASES = (
    (50_000, 512, 512),
    (100_000, 800, 800),
    (200_000, 1920, 1080),
    (1_000_000, 1920, 1080),
    (2_000_000, 1920, 1080),
)
"""Surfels, width, height."""


def build() -> dict[str, Any]:
    """Compile for the GPU at hand and put the module where the package finds it."""
    major, minor = torch.cuda.get_device_capability()
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-DPython_EXECUTABLE={sys.executable}", "-DRECON4D_CUDA=ON", "-DCMAKE_BUILD_TYPE=Release"]
        options.append(f"-DCMAKE_CUDA_ARCHITECTURES={major}{minor}")
        jobs = str(os.cpu_count() or 2)
        for step in (
            ["-S", "cuda", "-B", f"{folder}/build", *options],
            ["--build", f"{folder}/build", "--parallel", jobs],
        ):
            subprocess.run(["cmake", *step], cwd=REPOSITORY, check=True, capture_output=True, text=True)
        names = []
        for library in sorted(Path(folder, "build").glob("_ext*.so")):
            # Renamed into place: a module that a process has open must not change under it.
            new = REPOSITORY / "recon4d" / "_native" / f".{library.name}.new"
            shutil.copy2(library, new)
            os.replace(new, new.with_name(library.name))
            names.append(library.name)
    return {"modules": names, "architecture": f"sm_{major}{minor}"}


def tests() -> dict[str, Any]:
    """The render tests, which run on every backend that is available, and the emulator's."""
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--maxfail=20", "tests/render", "tests/cuda"]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    tail = done.stdout.strip().splitlines()[-1:]
    return settle(gpu_verdicts.missed_by_tests(done.stdout, done.returncode), {"summary": tail})


def sanitizer() -> dict[str, Any]:
    """memcheck and racecheck over a small scene, forward and backward."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        raise NotRunError("compute-sanitizer is not on the PATH")
    found, missed = {}, []
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, __file__, "--small"]
        done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
        printed = (done.stdout + done.stderr).strip()
        found[check] = printed.splitlines()[-1] if printed else ""
        if done.returncode:
            missed.append(f"{check} ended with {done.returncode}: {printed[-3000:]}")
    return settle(missed, found)


def small_pass() -> None:
    """What compute-sanitizer looks at."""
    from tests.bench.gpu_cases import Case

    case = Case(2_000, 97, 61)
    case.backward(case.draw("cuda"))
    torch.cuda.synchronize()


def benchmark(*, alone: bool) -> dict[str, Any]:
    """The table, side by side; `alone` leaves gsplat out."""
    found = importlib.util.find_spec("gsplat") is not None and not alone
    version = importlib.metadata.version("gsplat") if found else None
    rows: list[dict[str, Any]] = []
    missed: list[str] = []
    print("\nsurfels  image       backend  forward  backward     total    memory")
    for count, width, height in CASES:
        row = {"surfels": count, "width": width, "height": height, **timed(count, width, height, version)}
        rows.append(row)
        if version is not None:
            missed += missed_by_case(row)
        print_row(row)
    numbers = {"gsplat": version, "cases": rows, "bar": f"{FASTER:g} times faster"}
    if missed:
        raise MissedError(missed, numbers)
    if version is None and not alone:
        raise NotRunError("gsplat is not installed, so there is nothing to be faster than", numbers)
    return numbers


def timed(count: int, width: int, height: int, gsplat: str | None) -> dict[str, Any]:
    """Times and memory of ours and, where there is one, of gsplat's; and how far their images lie apart."""
    from tests.bench.gpu_cases import Case, differences, measure

    case = Case(count, width, height)
    row: dict[str, Any] = {"cuda": measure(case, lambda: case.draw("cuda"), intrinsics=True)}
    if gsplat is not None:
        row["gsplat"] = measure(case, case.draw_gsplat, intrinsics=False)
        row["speed_up"] = row["gsplat"]["total_ms"] / row["cuda"]["total_ms"]
        with torch.no_grad():
            # Depths are the intersection's here and the centre's there, so only some of these mean the same.
            row["difference"] = differences(case.draw("cuda"), case.draw("gsplat"))
    return row


def print_row(row: dict[str, Any]) -> None:
    """Lines of the table."""
    for backend in ("cuda", "gsplat"):
        if backend in row:
            r = row[backend]
            times = "  ".join(f"{r[key]:6.2f}ms" for key in ("forward_ms", "backward_ms", "total_ms"))
            size = f"{row['width']}x{row['height']:<5d}"
            print(f"{row['surfels']:7d}  {size}  {backend:7s}  {times}  {r['memory_mb']:6.0f}MB")
    if "speed_up" in row:
        print(f"{'':21s}{row['speed_up']:.2f} times faster than gsplat; differences {row['difference']}")


def check(name: str) -> Step:
    """A step of `gpu_checks`, which is imported when the step runs."""

    def step() -> dict[str, Any]:
        numbers: dict[str, Any] = getattr(importlib.import_module("tests.bench.gpu_checks"), name)()
        return numbers

    return step


STEPS = ("build", "tests", "sanitizer", "agreement", "streams", "graphs", "gsplat", "benchmark", "fit")


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=REPOSITORY / "out" / "gpu.json")
    parser.add_argument(
        "--skip", nargs="+", action="extend", default=[], choices=STEPS, help="gsplat: times ours alone, too"
    )
    parser.add_argument("--small", action="store_true", help="one small pass, for compute-sanitizer")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the steps; returns the exit code."""
    options = parsed(arguments)
    if not torch.cuda.is_available():
        print("gpu: torch sees no CUDA device: nothing was run, nothing was measured", file=sys.stderr)
        return 2
    if options.small:
        small_pass()
        return 0
    steps = {
        "build": build,
        "tests": tests,
        "sanitizer": sanitizer,
        "agreement": check("agreement"),
        "streams": check("streams"),
        "graphs": check("graphs"),
        "gsplat": check("gsplat"),
        "benchmark": lambda: benchmark(alone="gsplat" in options.skip),
        "fit": check("short_fit"),
    }
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    code = gpu_verdicts.run_steps(steps, options.skip, report, options.json, lambda line: print(line, flush=True))
    print(f"gpu: report in {options.json}")
    return code


if __name__ == "__main__":
    sys.exit(main())
