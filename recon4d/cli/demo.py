"""`recon4d demo`: the main job on a clip that is made first: a creature that walks while it turns before the camera.

The clip is a plain video: masks, cameras and motion are found from its pixels alone, as for any video.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from recon4d.cli.console import busy, print_line
from recon4d.cli.reconstruct import make_scene
from recon4d.core import InputError
from recon4d.data import write_video
from recon4d.export import camera_paths, draw, prepare, timeline
from recon4d.pipeline import ReconstructSettings
from recon4d.render import available_backends
from recon4d.scene import Scene, load
from recon4d.synthetic import CREATURE_NAMES, SynthesizeConfig, synthesize
from recon4d.train import FitConfig, preset

FPS = 24.0
TURNTABLE_SIDE = 384
# The reference backend is for checking: it gets a job that it can do in some minutes.
REFERENCE_SIZE, REFERENCE_FRAMES = 64, 24


def make_demo(output: Path, *, creature: str, size: int, frames: int, config: FitConfig | None = None) -> None:
    """Write NAME.mp4, NAME.r4d and NAME-turntable.mp4 into the folder `output`, and say so.

    Args:
        output: made where it does not exist; files of an earlier demo are replaced.
        creature: name of a built-in creature.
        size: width and height of the clip in pixels.
        frames: of the clip.
        config: settings of the fit; those of the draft preset when None.

    Raises:
        InputError: an unknown creature, a size or length that cannot be used, or a folder that cannot be written.
    """
    if creature not in CREATURE_NAMES:
        raise InputError(
            "--creature", expected=" or ".join(CREATURE_NAMES), got=repr(creature), fix="choose one of these"
        )
    if not 48 <= size <= 2048:
        raise InputError("--size", expected="48 to 2048 pixels", got=str(size), fix="256 is a good choice")
    if not 8 <= frames <= 600:
        raise InputError("--frames", expected="8 to 600", got=str(frames), fix="48 is a good choice")
    fast, why_not = available_backends()["cpu"]
    if not fast:
        size, frames = min(size, REFERENCE_SIZE), min(frames, REFERENCE_FRAMES)
        config = config or _reference_config()
        print_line(f"Only a small demo, with the slow reference backend, because {why_not}.")
    output.mkdir(parents=True, exist_ok=True)
    clip, scene, video = (output / f"{creature}{ending}" for ending in (".mp4", ".r4d", "-turntable.mp4"))

    begun = time.perf_counter()
    with busy(f"filming the {creature}", quiet=False):
        film(clip, creature, size, frames)
    print_line(f"{clip}: a {creature}, {frames} frames of {size} x {size} pixels. Reconstructing it from the pixels:")
    make_scene(
        clip,
        scene,
        ReconstructSettings(preset="draft"),
        config=config or preset("draft"),
        resume=False,
        overwrite=True,
        keep_work=False,
        quiet=False,
        as_json=False,
    )
    with busy("drawing the turntable", quiet=False):
        write_turntable(load(scene), video, min(TURNTABLE_SIDE, 2 * size))
    print_line(f"  {video}   from all around, colours and normals: open it with any player or web browser")
    print_line(f"The demo took {time.perf_counter() - begun:.0f} s.")


def film(path: Path, creature: str, size: int, frames: int) -> None:
    """A clip of a creature that turns once before the camera; nothing but pixels."""
    settings = SynthesizeConfig(
        subject=creature, frames=frames, width=size, height=size, fps=FPS, val_frames=1, test_frames=1, overwrite=True
    )
    with tempfile.TemporaryDirectory(prefix="recon4d-demo-") as folder:
        made = synthesize(settings, Path(folder) / "data")
        shutil.copyfile(made.folder / "train.mp4", path)


def write_turntable(scene: Scene, path: Path, side: int) -> None:
    """A video from all around: colours on the left, normals on the right."""
    moments = timeline(scene, "all", fps=FPS, seconds=4.0)
    cameras = camera_paths.orbit(scene, moments.times)
    pictures = [
        draw(prepare(scene, cameras, moments.times, what=what, size=(side, side))) for what in ("color", "normal")
    ]
    write_video(path, _beside(*pictures), FPS)


def _beside(
    left: Iterator[UInt8[np.ndarray, "h w c"]], right: Iterator[UInt8[np.ndarray, "h w c"]]
) -> Iterator[UInt8[np.ndarray, "h v 3"]]:
    for pair in zip(left, right, strict=True):
        yield np.concatenate([picture[..., :3] for picture in pair], axis=1)


def _reference_config() -> FitConfig:
    draft = preset("draft")
    return replace(draft, iterations=200, surfels=800, initial_surfels=500, levels=((0.0, 2), (0.5, 1)), hull_voxels=32)
