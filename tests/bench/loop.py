"""What a step of the fit costs: its share inside compiled kernels, and how it goes with the number of frames.

    OMP_NUM_THREADS=1 python -m tests.bench.loop

Creatures are synthesized for it.  Shares are of CPU time as torch's profiler sees it, which makes what is not a kernel
look a little dearer than it is; milliseconds are measured without it, as the least of several rounds of steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from recon4d.cli import main as recon4d
from recon4d.data import read_dataset
from recon4d.train.capture import Capture, capture_from_dataset
from recon4d.train.config import FitConfig, preset
from recon4d.train.fit import State, start, train_step
from recon4d.train.frames import Frames, load_frames
from recon4d.train.objective import Objective

# Autograd's names of the kernels of this project, forward and backward, and of torch's own fused optimizer.
OURS = ("_Rasterize", "_Photometric", "_Skin", "_NormalConsistency", "_BoneTransforms", "_Compose")
ADAM = "aten::_fused_adam_"


class Loop:
    """A fit in the middle: all losses are on, surfels are at their budget."""

    def __init__(self, folder: Path, frames: int, size: int, surfels: int) -> None:
        place = folder / f"{frames}"
        options = ["--frames", str(frames), "--width", str(size), "--height", str(size), "--cameras", "orbit"]
        if not place.exists():
            code = recon4d(["synthesize", "quadruped", "-o", str(place), "--quiet", *options])
            assert code == 0
        self.capture: Capture = capture_from_dataset(read_dataset(place))
        self.config: FitConfig = preset("standard", iterations=6000, initial_surfels=surfels)
        self.frames: Frames = load_frames(self.capture, [f for _, f in self.config.levels])
        self.state: State = start(self.capture, self.frames, self.config)
        self.objective = Objective(self.config)
        self.state.step = self.config.after(0.5)
        self.steps(20)

    def steps(self, count: int) -> float:
        """CPU seconds of some steps."""
        begun = time.process_time()
        for _ in range(count):
            train_step(self.state, self.capture, self.frames, self.objective, self.config)
        return time.process_time() - begun


def shares(loop: Loop, count: int) -> dict[str, float]:
    """Percent of the CPU time of steps inside kernels."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        loop.steps(count)
    spent = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    total = sum(spent.values())
    ours = sum(value for key, value in spent.items() if key.removesuffix("Backward") in OURS)
    raster = sum(value for key, value in spent.items() if key.startswith("_Rasterize"))
    return {
        "rasterizing": round(100 * raster / total, 1),
        "kernels of ours": round(100 * ours / total, 1),
        "with torch's fused Adam": round(100 * (ours + spent.get(ADAM, 0)) / total, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", default="30,100,300", help="lengths of clips")
    parser.add_argument("--size", type=int, default=200, help="pixels a side")
    parser.add_argument("--surfels", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in map(int, given.frames.split(",")):
            loop = Loop(Path(folder), frames, given.size, given.surfels)
            milliseconds = min(loop.steps(given.steps) for _ in range(given.rounds)) / given.steps * 1000
            line = {"frames": frames, "surfels": len(loop.state.model), "ms a step": round(milliseconds, 2)}
            found.append(line | shares(loop, given.steps))
            print(json.dumps(found[-1]), flush=True)
    print(f"{torch.get_num_threads()} threads, {given.size}x{given.size} pixels")


if __name__ == "__main__":
    main()
