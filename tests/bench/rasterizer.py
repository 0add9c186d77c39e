"""Benchmark of the `cpu` rasterizer: python tests/bench/rasterizer.py [--repeats 25] [--json FILE].

Forward and backward through the public `rasterize`, all six images and the gradients of every surfel array, the camera
pose, the intrinsics and the screen offsets.  Times are the minimum over the repeats, with 1 and 2 threads.  Also prints
the share of the machine's peak that the kernels reach, the speed-up over the reference backend, and how the time grows
with surfels and with pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from scenes import make_scene

from recon4d import Camera, Surfels, rasterize
from recon4d.render import cpu

CASES = ((10_000, 256), (50_000, 512), (100_000, 800))
"""Surfels and side of the square image."""

FLOPS_FORWARD, FLOPS_BACKWARD = 70, 133
"""Floating-point operations per blended pixel slot, a fused multiply-add counted as two: counted by hand in
cuda/cpu/blocks.h, forward.h and backward.h.  Candidates that hit nothing are work too, but not counted."""


class Case:
    """One scene with random upstream gradients, ready to run."""

    def __init__(self, count: int, width: int, height: int) -> None:
        scene = make_scene(count, width, height)
        arrays = {name: tensor.clone().requires_grad_() for name, tensor in scene.surfels.tensors().items()}
        K = scene.camera.K.clone().requires_grad_()
        pose = scene.camera.cam_from_world.clone().requires_grad_()
        self.surfels, self.camera = Surfels(**arrays), Camera(K, pose, width, height)
        self.offsets = torch.zeros(count, 2, requires_grad=True)
        self.inputs = [*arrays.values(), K, pose, self.offsets]
        generator = torch.Generator().manual_seed(1)
        # In the layout of the images, as a loss computed from them would leave its gradients.
        planes = [torch.randn(channels, height, width, generator=generator) for channels in (3, 1, 1, 1, 3, 1)]
        self.upstream = [plane.permute(1, 2, 0) for plane in planes]

    def run(self, backend: str) -> tuple[float, float]:
        """Seconds of one forward and one backward pass."""
        start = time.perf_counter()
        out = rasterize(self.surfels, self.camera, backend=backend, screen_offsets=self.offsets)
        middle = time.perf_counter()
        images = [out.color, out.alpha, out.depth, out.depth_median, out.normal, out.distortion]
        torch.autograd.grad(images, self.inputs, self.upstream)
        return middle - start, time.perf_counter() - middle

    def best(self, backend: str, threads: int, repeats: int) -> dict[str, float]:
        """Least milliseconds over the repeats, after one warm-up."""
        torch.set_num_threads(threads)
        self.run(backend)
        times = [self.run(backend) for _ in range(repeats)]
        return {
            "forward_ms": 1e3 * min(f for f, _ in times),
            "backward_ms": 1e3 * min(b for _, b in times),
            "total_ms": 1e3 * min(f + b for f, b in times),
        }


def peak_gflops(threads: int) -> float:
    """Measured fused multiply-add peak of `threads` threads."""
    source = Path(__file__).with_name("peak.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        subprocess.run(["g++", "-O3", "-march=native", "-fopenmp", str(source), "-o", str(program)], check=True)
        return float(subprocess.run([str(program), str(threads)], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--kernels", help="instruction set, for example avx2; default: the fastest")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.kernels:
        cpu.use_kernels(options.kernels)
    results: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}

    peaks = {threads: peak_gflops(threads) for threads in (1, 2)}
    results["peak_gflops"] = peaks
    print(f"peak: {peaks[1]:.0f} GFLOP/s on 1 thread, {peaks[2]:.0f} on 2")
    print("\nsurfels  image     threads  forward  backward    total   Mpairs/s  of peak")
    results["cases"] = []
    for count, side in CASES:
        case = Case(count, side, side)
        for threads in (1, 2):
            row: dict[str, Any] = {"surfels": count, "side": side, "threads": threads}
            row |= case.best("cpu", threads, options.repeats)
            workspace = cpu.last_workspace()
            pairs = workspace.visits * workspace.lanes
            row["kernels"] = workspace.kernels
            row["pairs_per_second"] = pairs / (row["total_ms"] / 1e3)
            row["share_of_peak"] = row["pairs_per_second"] * (FLOPS_FORWARD + FLOPS_BACKWARD) / (peaks[threads] * 1e9)
            results["cases"].append(row)
            print(
                f"{count:7d}  {side}x{side}  {threads:7d}  {row['forward_ms']:5.2f} ms  {row['backward_ms']:5.2f} ms  "
                f"{row['total_ms']:6.2f} ms  {row['pairs_per_second'] / 1e6:6.0f}  {row['share_of_peak']:6.0%}"
            )

    small = Case(2_000, 96, 96)
    fast, slow = small.best("cpu", 2, options.repeats), small.best("reference", 2, 3)
    results["reference"] = {"cpu_ms": fast["total_ms"], "reference_ms": slow["total_ms"]}
    print(
        f"\n2000 surfels at 96x96, 2 threads: reference {slow['total_ms']:.0f} ms, cpu {fast['total_ms']:.2f} ms, "
        f"{slow['total_ms'] / fast['total_ms']:.0f} times faster"
    )

    print("\ngrowth, 2 threads: surfels at 512x512, then pixels at 50000 surfels")
    results["growth"] = []
    for count, side in ((25_000, 512), (50_000, 512), (100_000, 512), (200_000, 512), (50_000, 256), (50_000, 1024)):
        row = {"surfels": count, "side": side} | Case(count, side, side).best("cpu", 2, max(options.repeats // 2, 5))
        results["growth"].append(row)
        print(f"{count:7d}  {side}x{side}  {row['total_ms']:7.2f} ms")

    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
