"""Compiles the CUDA kernels and fails where registers spill: python tests/cuda/compile_check.py [--arch 75 80 90].

Needs nvcc, no GPU.  A spill turns registers into memory traffic inside the innermost loops; it appears without any
change of results, so nothing else would notice.  Where there is no nvcc it says so and succeeds.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CUDA = Path(__file__).resolve().parents[2] / "cuda"
SOURCES = ("rasterize", "optimizer", "ssim")
FLAGS = ("-std=c++17", "-O3", "-fmad=false", "-Xptxas", "-v")
ARCHITECTURES = (75, 80, 90)
"""Those that the module is built for; see cuda/gpu/build.cmake."""

HOT = (
    "project_kernel<float>",
    "gather_counts_kernel<float>",
    "list_instances_kernel<float>",
    "tile_begin_kernel",
    "forward_kernel<float",
    "backward_kernel<float",
    "gradients_kernel<float>",
    "adam_kernel<float>",
    "count_step_kernel<float>",
    "ssim_forward_kernel<float>",
    "ssim_backward_kernel<float>",
)
"""Kernels that must keep everything in registers, by the beginning of their names."""

USAGE = re.compile(
    r"Function properties for (?P<name>.+)\n\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\nptxas info\s*: Used (?P<registers>\d+) registers"
)

Usage = dict[str, dict[str, int]]
"""Registers, stack and spills of each of our kernels, by its demangled name without arguments."""


def parse(printed: str) -> Usage:
    """What ptxas says of our kernels; `printed` has been through c++filt."""
    found: Usage = {}
    for match in USAGE.finditer(printed):
        name = match["name"].removeprefix("void ")
        if name.startswith("recon4d::gpu::"):
            short = name.removeprefix("recon4d::gpu::").removeprefix("(anonymous namespace)::").split("(")[0]
            found[short] = {key: int(match[key]) for key in ("registers", "stack", "stores", "loads")}
    return found


def missing(usage: Usage) -> list[str]:
    """Hot kernels that nothing was said of: then this script does not understand what nvcc printed."""
    return [hot for hot in HOT if not any(name.startswith(hot) for name in usage)]


def spills(name: str, numbers: dict[str, int]) -> bool:
    """Whether a hot kernel keeps something in memory."""
    return name.startswith(HOT) and any(numbers[key] for key in ("stack", "stores", "loads"))


def compiled(source: str, arch: int) -> str:
    """Compile one file for one architecture; returns what ptxas printed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "nvcc",
            *FLAGS,
            f"-arch=sm_{arch}",
            f"-I{CUDA / 'include'}",
            "-c",
            str(CUDA / "gpu" / f"{source}.cu"),
        ]
        done = subprocess.run([*command, "-o", f"{folder}/object.o"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nvcc failed for {source}.cu on sm_{arch}:\n{done.stderr[-4000:]}")
    return subprocess.run(["c++filt"], input=done.stderr, check=True, capture_output=True, text=True).stdout


def known_to_nvcc() -> set[int]:
    """Architectures that this nvcc compiles for."""
    listed = subprocess.run(["nvcc", "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout
    return {int(number) for number in re.findall(r"compute_(\d+)\b", listed)}


def main() -> None:
    """Compile, print what each kernel uses, and exit with 1 on a spill in a hot one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", type=int, nargs="+", default=list(ARCHITECTURES))
    options = parser.parse_args()
    if shutil.which("nvcc") is None:
        print("no nvcc on this machine: the CUDA kernels were not compiled")
        return
    if unknown := sorted(set(options.arch) - known_to_nvcc()):
        sys.exit(f"this nvcc does not compile for {unknown}: name others with --arch")
    jobs = [(source, arch) for arch in options.arch for source in SOURCES]
    try:
        with ThreadPoolExecutor(2) as pool:
            printed = list(pool.map(lambda job: compiled(*job), jobs))
    except RuntimeError as error:
        sys.exit(str(error))
    failed = False
    for arch in options.arch:
        usage = parse("".join(text for (_, one), text in zip(jobs, printed, strict=True) if one == arch))
        if unseen := missing(usage):
            sys.exit(f"sm_{arch}: nothing about {unseen}: this script does not understand what nvcc printed")
        for name, numbers in sorted(usage.items()):
            bad = spills(name, numbers)
            failed = failed or bad
            stack = f", {numbers['stack']} bytes of stack" if numbers["stack"] else ""
            spilled = f", {numbers['stores']} + {numbers['loads']} bytes spilled" if numbers["stores"] else ""
            mark = "   <-- SPILLS" if bad else ""
            print(f"sm_{arch}  {numbers['registers']:3d} registers{stack}{spilled}  {name}{mark}")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
