"""Clips that say little, made, reconstructed and told of: the last table of "Reconstruction" in docs/benchmarks.md.

    python -m tests.bench.hard --out FOLDER [--preset draft]

A static camera before a subject that walks, a turn of 18 degrees before nothing, and an open shutter: each frame of a
hand-held clip is the mean of five.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from recon4d.data import read_video, write_video

_FRAMES, _SIZE, _FPS, _OPEN = 48, 256, 30.0, 5
CLIPS = {
    "static": ("--cameras", "static", "--background", "room"),
    "small-turn": ("--cameras", "orbit", "--orbit-turns", "0.05"),
    "open-shutter": ("--cameras", "handheld", "--background", "room"),
}


def made(name: str, folder: Path) -> Path:
    """The clip as a video."""
    data, blurred = folder / name, name == "open-shutter"
    count = _FRAMES * (_OPEN if blurred else 1)
    size = ["--width", str(_SIZE), "--height", str(_SIZE), "--frames", str(count), "--quiet"]
    if not (data / "train.mp4").exists():
        recon4d("synthesize", "quadruped", "-o", str(data), *size, *CLIPS[name])
    if not blurred:
        return data / "train.mp4"
    frames = read_video(data / "train.mp4").frames[..., :3].astype(np.float32)
    clip = folder / f"{name}.mp4"
    write_video(clip, list(frames.reshape(-1, _OPEN, *frames.shape[1:]).mean(1).round().astype(np.uint8)), _FPS)
    return clip


def recon4d(*words: str) -> None:
    """A command of recon4d, in a program of its own."""
    subprocess.run([sys.executable, "-m", "recon4d", *words], check=True)


def main() -> None:
    """All clips, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/hard"))
    parser.add_argument("--preset", default="draft")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in CLIPS:
        scene = options.out / f"{name}.r4d"
        words = ["--preset", options.preset, "--quiet", "--overwrite"]
        recon4d("reconstruct", str(made(name, options.out)), "-o", str(scene), *words)
        told = json.loads((scene / "metrics.json").read_text(encoding="utf-8"))
        print(name, json.dumps({"scores": told["scores"], "warnings": told["warnings"]}, indent=1), flush=True)


if __name__ == "__main__":
    main()
