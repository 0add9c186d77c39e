"""How many instructions a GPU would issue for one visit of a surfel to a warp's pixels: read from compiled code.

    python -m tests.bench.sass [--arch 90] [--listing]

Needs nvcc and cuobjdump (of the CUDA toolkit, or `pip install nvidia-cuda-cuobjdump`), no GPU.  Nothing is run: these
are counts, not times.  The innermost loop of `forward_kernel` and `backward_kernel` (three channels, single precision)
is one visit; what it skips where a surfel is not `special` (see cuda/gpu/frame.h) is counted too, and about 15 of it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.cuda.compile_check import CUDA, FLAGS

KERNELS = {"forward": "forward_kernelIfLi3", "backward": "backward_kernelIfLi3"}

Listing = list[tuple[int, str]]
"""Addresses and instructions."""


def cuobjdump() -> str | None:
    """The program, on the path or in the environment of this Python."""
    beside = sorted(Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin/cuobjdump"))
    return shutil.which("cuobjdump") or (str(beside[0]) if beside else None)


def listings(sass: str) -> dict[str, Listing]:
    """The instructions of each kernel, from what cuobjdump prints."""
    found: dict[str, Listing] = {}
    for part in sass.split("Function : ")[1:]:
        name = part.split(maxsplit=1)[0]
        lines = re.findall(r"/\*([0-9a-f]{4,5})\*/\s+(.+?)\s*;", part)
        found[name] = [(int(address, 16), text) for address, text in lines]
    return found


def innermost(listing: Listing) -> Listing:
    """The shortest loop that shades: the one with most multiplications of those that hold no other loop."""
    loops = []
    for address, text in listing:
        target = re.search(r"\bBRA\b.*?0x([0-9a-f]+)", text)
        if target and int(target[1], 16) < address:
            loops.append((int(target[1], 16), address))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    bodies = [[line for line in listing if low <= line[0] <= high] for low, high in inner]
    return max(bodies, key=lambda body: sum("FMUL" in text or "FFMA" in text for _, text in body))


def operation(text: str) -> str:
    """The name of an instruction without its guard and its variants."""
    return re.sub(r"^@!?U?P\w+\s+", "", text).split()[0].split(".")[0]


def main() -> None:
    """Compile, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, default=90)
    parser.add_argument("--listing", action="store_true", help="print the loops, too")
    options = parser.parse_args()
    program = cuobjdump()
    if shutil.which("nvcc") is None or program is None:
        sys.exit("needs nvcc and cuobjdump: install the CUDA toolkit, or pip install nvidia-cuda-cuobjdump")
    with tempfile.TemporaryDirectory() as folder:
        cubin = f"{folder}/rasterize.cubin"
        source = [f"-I{CUDA / 'include'}", str(CUDA / "gpu" / "rasterize.cu")]
        command = ["nvcc", *FLAGS, f"-arch=sm_{options.arch}", "-cubin", *source, "-o", cubin]
        subprocess.run(command, check=True, capture_output=True)
        sass = subprocess.run([program, "-sass", cubin], check=True, capture_output=True, text=True).stdout
    found = listings(sass)
    for kernel, mark in KERNELS.items():
        body = innermost(next(listing for name, listing in found.items() if mark in name))
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(operation(t) for _, t in body).most_common(12))
        print(f"sm_{options.arch} {kernel}: {len(body)} instructions a visit ({kinds})")
        if options.listing:
            print("\n".join(f"  {address:05x} {text}" for address, text in body))


if __name__ == "__main__":
    main()
