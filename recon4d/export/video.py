"""Drawing to files: a video, one picture, or a folder of pictures with their cameras.

Files and folders appear whole or not at all.  The same scene, cameras and settings give the same bytes on the same
machine.  Does NOT choose cameras, but for `turntable`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt16

from recon4d.core import Camera, InputError
from recon4d.data import View, write_png, write_video
from recon4d.data.files import atomic_folder, write_json
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.export import camera_paths
from recon4d.export.pictures import Backend, Progress, Shot, draw, draw_depths, prepare
from recon4d.export.timeline import timeline
from recon4d.scene import Scene

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_RAW_STEPS = 65_534  # 0 is nothing, 65535 is beyond the range
_RAW_HEADROOM = 1.5  # raw depths may be farther than the clip's usual farthest
_OURS = re.compile(r"\d{5,}\.png|transforms\.json|depth\.json")


@dataclass(frozen=True)
class Drawn:
    """What was written.

    Attributes:
        path: the file or folder.
        frames: number of pictures.
        width, height: of the pictures in pixels.
        fps: of a video, None otherwise.
        depth_range: nearest and farthest depth of the colours, for depth only.
        notes: sentences on what is worth knowing.
    """

    path: Path
    frames: int
    width: int
    height: int
    fps: float | None
    depth_range: tuple[float, float] | None
    notes: tuple[str, ...]


def draw_video(
    scene: Scene,
    cameras: Sequence[Camera],
    times: Sequence[float],
    *,
    output: str | os.PathLike[str],
    what: str = "color",
    size: tuple[int, int] | None = None,
    fps: float = 24.0,
    background: str = "white",
    layers: Sequence[str] = (),
    supersample: int = 1,
    raw: bool = False,
    depth_range: tuple[float, float] | None = None,
    overwrite: bool = False,
    backend: Backend = "auto",
    progress: Progress | None = None,
) -> Drawn:
    """Draw a scene, one camera and time after the other, and write the pictures.

    Args:
        scene: what to draw.
        cameras, times: [N] each, see `pictures.prepare`.
        output: NAME.mp4 (or .m4v, .mov, .mkv) is a video; NAME.png one picture, of the first camera; a name without
            suffix a folder of 00000.png, ... and transforms.json, which recon4d and nerfstudio read.
        what, size, background, layers, supersample, depth_range, backend: see `pictures.prepare`.
        fps: frames per second of a video.
        raw: for depth into a folder: depths as 16-bit numbers instead of colours; depth.json says what they mean.
        overwrite: replace what is there.
        progress: called with how many pictures are done, and how many there are.

    Raises:
        InputError: a wrong argument, or a place that cannot be written.
    """
    path = Path(output)
    kind = _kind(path, overwrite=overwrite)
    if raw and (kind != "folder" or what != "depth"):
        got = f"{what} into {path.name}"
        raise InputError("raw", expected="depth into a folder", got=got, fix="leave raw out, or change the output")
    if kind == "video" and background == "transparent":
        raise InputError("background", expected="a colour", got="transparent", fix="videos have none: write PNG files")
    if kind == "picture":
        cameras, times = cameras[:1], times[:1]
    shot = prepare(
        scene,
        cameras,
        times,
        what=what,
        size=size,
        background=background,
        layers=layers,
        supersample=supersample,
        depth_range=depth_range,
        backend=backend,
    )
    notes: list[str] = []
    width, height = shot.size
    if kind == "video":
        if width % 2 or height % 2:
            padded = f"{width + width % 2}x{height + height % 2}"
            notes.append(f"Videos need even sides: the last row or column is repeated, which makes it {padded} pixels.")
        write_video(path, draw(shot, progress), fps)
    elif kind == "picture":
        write_png(path, next(draw(shot, progress)))
    else:
        _write_folder(path, shot, raw, scene.metres_per_unit, progress, notes)
    return Drawn(path, len(shot.times), width, height, fps if kind == "video" else None, shot.depth_range, tuple(notes))


def turntable(
    scene: Scene,
    output: str | os.PathLike[str],
    *,
    time: float | None = None,
    seconds: float | None = None,
    fps: float = 24.0,
    turns: float = 1.0,
    elevation: float | None = None,
    distance: float = 1.0,
    what: str = "color",
    size: tuple[int, int] | None = None,
    background: str = "white",
    layers: Sequence[str] = (),
    supersample: int = 1,
    overwrite: bool = True,
    backend: Backend = "auto",
    progress: Progress | None = None,
) -> Drawn:
    """Draw the subject from all around, while the scene plays once or stands still.

    Args:
        scene: what to draw.
        output: see `draw_video`.
        time: moment that is shown, seconds; the scene plays where None.
        seconds: length; by default that of the scene, 4 where time stands still.
        fps: frames per second.
        turns, elevation, distance: see `camera_paths.orbit`.
        what, size, background, layers, supersample, overwrite, backend, progress: see `draw_video`.

    Raises:
        InputError: a wrong argument, or a place that cannot be written.
    """
    frames = timeline(scene, "all" if time is None else repr(float(time)), fps=fps, seconds=seconds)
    cameras = camera_paths.orbit(
        scene, frames.times, turns=turns, elevation=elevation, distance=distance, layers=layers
    )
    return draw_video(
        scene,
        cameras,
        frames.times,
        output=output,
        what=what,
        size=size,
        fps=frames.fps,
        background=background,
        layers=layers,
        supersample=supersample,
        overwrite=overwrite,
        backend=backend,
        progress=progress,
    )


def _kind(path: Path, *, overwrite: bool) -> str:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix == ".png":
        if path.is_dir():
            raise InputError(str(path), expected="a file", got="a folder of that name", fix="choose another name")
        if path.exists() and not overwrite:
            raise InputError(
                str(path), expected="a new file", got="one that exists", fix="choose another name, or overwrite it"
            )
        return "picture" if suffix == ".png" else "video"
    if suffix and not path.is_dir():
        raise InputError(
            str(path),
            expected=f"a name ending in {', '.join(VIDEO_SUFFIXES)} or .png, or a folder without a suffix",
            got=repr(path.suffix),
            fix="use .mp4",
        )
    if path.is_dir() and any(path.iterdir()):
        # A slip of the hand must not remove somebody's folder.
        ours = all(_OURS.fullmatch(entry.name) for entry in path.iterdir())
        if not overwrite or not ours:
            got = "one with pictures in it" if ours else "one with other files in it"
            fix = "choose another place, or overwrite it" if ours else "choose another place, or empty the folder"
            raise InputError(str(path), expected="a new or empty folder", got=got, fix=fix)
    elif path.exists() and not path.is_dir():
        raise InputError(str(path), expected="a folder", got="a file of that name", fix="choose another name")
    return "folder"


def _write_folder(
    path: Path, shot: Shot, raw: bool, metres_per_unit: float | None, progress: Progress | None, notes: list[str]
) -> None:
    # That the folder may be replaced was found before anything was drawn.
    with atomic_folder(path, may_replace=lambda _: True) as temporary:
        pictures = _raw_pictures(temporary, shot, metres_per_unit, progress, notes) if raw else draw(shot, progress)
        views = []
        for i, (picture, camera, time) in enumerate(zip(pictures, shot.cameras, shot.times, strict=True)):
            name = f"{i:05d}"
            write_png(temporary / f"{name}.png", picture)
            exact = camera.to("cpu", torch.float64)
            views.append(View(name=name, split="train", image_path=temporary / f"{name}.png", time=time, camera=exact))
        write_nerfstudio(temporary, views)


def _raw_pictures(
    folder: Path, shot: Shot, metres_per_unit: float | None, progress: Progress | None, notes: list[str]
) -> Iterator[UInt16[np.ndarray, "h w"]]:
    """Depths as 16-bit numbers, and depth.json."""
    assert shot.depth_range is not None
    step = shot.depth_range[1] * _RAW_HEADROOM / _RAW_STEPS
    beyond = 0
    for depth in draw_depths(shot, progress):
        levels = np.rint(depth.astype(np.float64) / step)
        beyond += int((levels > _RAW_STEPS).sum())
        yield levels.clip(0, _RAW_STEPS + 1).astype(np.uint16)
    if beyond:
        notes.append(f"{beyond} pixels are beyond the range and have the value 65535.")
    write_json(
        folder / "depth.json",
        {
            "scene_units_per_step": step,
            "metres_per_unit": metres_per_unit,
            "nothing": 0,
            "beyond_the_range": _RAW_STEPS + 1,
        },
    )
