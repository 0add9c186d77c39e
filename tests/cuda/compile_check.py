"""Compiles the CUDA kernels and fails where registers spill: python tests/cuda/compile_check.py [--arch 80 90].

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
from pathlib import Path

CUDA = Path(__file__).resolve().parents[2] / "cuda"
SOURCES = ("rasterize", "optimizer", "ssim")
FLAGS = ("-std=c++17", "-O3", "-fmad=false", "-Xptxas", "-v")

HOT = ("project_kernel<float>", "forward_kernel<float", "backward_kernel<float", "gradients_kernel<float>")
"""Kernels that must keep everything in registers, by the beginning of their names."""

USAGE = re.compile(
    r"Function properties for (?P<name>.+)\n\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\nptxas info\s*: Used (?P<registers>\d+) registers"
)


def usage_of(arch: int) -> dict[str, dict[str, int]]:
    """Registers, stack and spills of each of our kernels, by its demangled name without arguments."""
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            command = [
                "nvcc",
                *FLAGS,
                f"-arch=sm_{arch}",
                f"-I{CUDA / 'include'}",
                "-c",
                str(CUDA / "gpu" / f"{source}.cu"),
            ]
            done = subprocess.run(
                [*command, "-o", str(Path(folder) / "object.o")], check=False, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"nvcc failed for {source}.cu on sm_{arch}:\n{done.stderr[-4000:]}")
            names = subprocess.run(["c++filt"], input=done.stderr, check=True, capture_output=True, text=True).stdout
            for match in USAGE.finditer(names):
                name = match["name"].removeprefix("void ")
                if name.startswith("recon4d::gpu::"):
                    short = name.removeprefix("recon4d::gpu::").removeprefix("(anonymous namespace)::").split("(")[0]
                    found[short] = {key: int(match[key]) for key in ("registers", "stack", "stores", "loads")}
    return found


def main() -> None:
    """Compile, print what each kernel uses, and exit with 1 on a spill in a hot one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", type=int, nargs="+", default=[80, 90])
    options = parser.parse_args()
    if shutil.which("nvcc") is None:
        print("no nvcc on this machine: the CUDA kernels were not compiled")
        return
    failed = False
    for arch in options.arch:
        usage = usage_of(arch)
        for hot in HOT:
            if not any(name.startswith(hot) for name in usage):
                sys.exit(f"sm_{arch}: no kernel {hot}: this script does not understand what nvcc printed")
        for name, numbers in sorted(usage.items()):
            bad = name.startswith(HOT) and (numbers["stores"] or numbers["loads"] or numbers["stack"])
            failed = failed or bool(bad)
            stack = f", {numbers['stack']} bytes of stack" if numbers["stack"] else ""
            spills = f", {numbers['stores']} + {numbers['loads']} bytes spilled" if numbers["stores"] else ""
            print(
                f"sm_{arch}  {numbers['registers']:3d} registers{stack}{spills}  {name}{'   <-- SPILLS' if bad else ''}"
            )
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
