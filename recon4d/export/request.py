"""What an export is asked for and what it answers: plain values that all formats share.

Does NOT know any format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from recon4d.core import InputError
from recon4d.export.finite import check_finite
from recon4d.scene import Layer, Scene

Progress = Callable[[str, int, int], None]

MAX_FACES = 5_000_000
MAX_TEXTURE = 8192
MAX_FRAMES = 100_000
_SLACK = 1e-6  # seconds beyond the scene's times that are taken as rounding


def _silent(stage: str, done: int, total: int) -> None:
    """No progress to tell."""


@dataclass(frozen=True)
class ExportRequest:
    """What to write where.  Formats ignore what does not concern them.

    Attributes:
        path: the file or folder to write.
        at: one moment in seconds; the whole clip where None.
        fps: moments a second of the clip; the scene's own frame times where None.
        layers: names of the layers to write; all where empty.
        objects_only: leave out layers of the kind "background".
        faces: triangles of each layer's mesh, at most.
        texture: side of each layer's texture in pixels, or "vertex" for vertex colours.
        frames: the input frames to take the texture from: a video, a folder of images or a data set; looked for where
            the scene lies where None.
        scene_path: the folder that the scene was read from, where it was.
        fill_holes: close the holes of meshes that have some.
        morph: write a flip-book of shapes where the format can, instead of bones.
        skin_limit: RMS error of skinned vertices, as a share of the layer's size, beyond which a flip-book is written
            instead of bones.
        overwrite: replace what is there.
        progress: called with a stage, how much of it is done, and how much there is.
    """

    path: Path
    at: float | None = None
    fps: float | None = None
    layers: tuple[str, ...] = ()
    objects_only: bool = False
    faces: int = 20_000
    texture: int | Literal["vertex"] = 1024
    frames: Path | None = None
    scene_path: Path | None = None
    fill_holes: bool = False
    morph: bool = False
    skin_limit: float = 0.02
    overwrite: bool = False
    progress: Progress = _silent

    def chosen(self, scene: Scene) -> list[Layer]:
        """The layers to write, those without surfels left out.

        Raises:
            InputError: a name that is no layer, or nothing that has surfels.
        """
        named = [scene.layer(name) for name in self.layers]
        wanted = [layer for layer in scene.layers if layer in named] if named else list(scene.layers)
        wanted = [layer for layer in wanted if named or not (self.objects_only and layer.kind == "background")]
        full = [layer for layer in wanted if len(layer.field)]
        if not full:
            raise InputError(
                "layers",
                expected="at least one layer with surfels",
                got=", ".join(f"{layer.name!r}: no surfels" for layer in wanted) or "no layers",
                fix="choose other layers, or take back the edits that deleted or hid everything",
            )
        return full

    def times(self, scene: Scene) -> list[float]:
        """The moments to write, seconds of the scene, strictly increasing; one only where `at` is given.

        Raises:
            InputError: a time outside the scene, or a rate that gives too many moments.
        """
        first, last = float(scene.frame_times[0]), float(scene.frame_times[-1])
        if self.at is not None:
            return [min(max(self.at, first), last)]
        if self.fps is None or last <= first:
            return [float(time) for time in scene.frame_times.tolist()]
        count = math.floor((last - first) * self.fps + 1e-6) + 1
        if count > MAX_FRAMES:
            raise InputError("fps", expected=f"at most {MAX_FRAMES} frames", got=str(count), fix="lower --fps")
        return [min(time, last) for time in (first + np.arange(count) / self.fps).tolist()]


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        files: files and folders that are there now, the main one first.
        numbers: what was counted and measured, by name; printed in this order.
        warnings: sentences on what falls short.
    """

    files: tuple[Path, ...]
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def check_request(scene: Scene, request: ExportRequest) -> None:
    """Refuse what no format could write.

    Raises:
        InputError: a wrong value of the request, or a scene with nothing to show or with numbers that are not finite.
    """
    first, last = float(scene.frame_times[0]), float(scene.frame_times[-1])
    if request.at is not None and not first - _SLACK <= request.at <= last + _SLACK:
        expected = f"seconds from {first:g} to {last:g}, the times of the scene"
        raise InputError("at", expected=expected, got=f"{request.at:g}", fix="choose a time within the scene")
    if request.fps is not None and not 0 < request.fps <= 1000:
        raise InputError("fps", expected="frames per second in (0, 1000]", got=f"{request.fps:g}", fix="24 is usual")
    if request.at is not None and request.fps is not None:
        raise InputError("at, fps", expected="one of the two", got="both", fix="leave --fps out for one moment")
    if not 4 <= request.faces <= MAX_FACES:
        raise InputError(
            "faces", expected=f"4 to {MAX_FACES} triangles", got=str(request.faces), fix="20000 is a good choice"
        )
    if request.texture != "vertex" and not 16 <= request.texture <= MAX_TEXTURE:
        raise InputError(
            "texture",
            expected=f"16 to {MAX_TEXTURE} pixels, or vertex",
            got=str(request.texture),
            fix="1024 is a good choice",
        )
    if not request.skin_limit > 0:
        raise InputError("skin_limit", expected="a share above 0", got=f"{request.skin_limit:g}", fix="0.02 is usual")
    times = request.times(scene)
    for layer in request.chosen(scene):
        check_finite(layer, times)
