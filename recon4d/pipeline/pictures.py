"""The pictures of a report: input against re-rendering, and a turntable.  Drawn with the scene as it is saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon4d.core import Camera
from recon4d.evaluate import flip_map
from recon4d.evaluate.report import heat
from recon4d.pipeline import measure
from recon4d.pipeline.coverage import Coverage, extent, world_up
from recon4d.scene import Scene
from recon4d.train.capture import Capture

SIDE = 300  # Pixels of a picture's long side in the report.
TURNTABLE_SIDE = 220
TURNTABLE_VIEWS = 10
COMPARED = 6
_FIELD_OF_VIEW = 35.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """One frame, before and after."""

    frame: int
    time: float
    kept_out: bool
    psnr: float
    input: UInt8[np.ndarray, "h w 3"]
    rendered: UInt8[np.ndarray, "h w 3"]
    normals: UInt8[np.ndarray, "h w 3"]
    error: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class TurntableView:
    """One view of a turntable; `degrees` from the input's view, `confidence` in [0, 1] or None where unknown."""

    degrees: float
    confidence: float | None
    color: UInt8[np.ndarray, "h w 3"]
    normals: UInt8[np.ndarray, "h w 3"]


def compare(
    scene: Scene,
    capture: Capture,
    cameras: Sequence[Camera],
    measured: tuple[bool, ...],
    progress: Callable[[], None],
) -> list[Comparison]:
    """Frames spread over time, kept-out ones first where there are some."""
    count = len(capture)
    kept, fitted = np.flatnonzero(measured), np.flatnonzero(capture.fitted)
    chosen: set[int] = set()
    for pool, share in ((kept, 0.7), (fitted, 1.0)):
        wanted = min(len(pool), math.ceil(share * COMPARED) if pool is kept and len(fitted) else COMPARED - len(chosen))
        if wanted > 0:
            chosen |= set(pool[np.unique(np.linspace(0, len(pool) - 1, wanted).round().astype(int))].tolist())
    result = []
    for index in sorted(chosen)[: min(count, COMPARED + 2)]:
        reference, _ = measure.truth(capture, index)
        output = measure.draw(scene, cameras[index], capture.times[index])
        drawn = measure.to_bytes(output.color.numpy())
        wanted_pixels = measure.to_bytes(reference)
        error = ((drawn.astype(np.float64) - wanted_pixels) ** 2).mean() / 255**2
        result.append(
            Comparison(
                index,
                capture.times[index],
                bool(measured[index]),
                min(100.0, -10 * math.log10(max(float(error), 1e-10))),
                shrink(np.asarray(capture.images[index]), SIDE),
                shrink(drawn, SIDE),
                shrink(measure.normal_colors(output), SIDE),
                shrink(heat(flip_map(drawn, wanted_pixels)), SIDE),
            )
        )
        progress()
    return result


def turntable(
    scene: Scene, capture: Capture, cameras: Sequence[Camera], coverage: Coverage | None, progress: Callable[[], None]
) -> list[TurntableView]:
    """Views around the subject at a middle time, the first from where the input's camera was.

    Where there is no subject the views sway a little around the input's camera.
    """
    if coverage is None:
        return _sway(scene, capture, cameras, progress)
    objects = replace(scene, layers=[layer for layer in scene.layers if layer.kind == "object"])
    frame = capture.times.index(coverage.time)
    start = cameras[frame].center_in_world.double().numpy() - coverage.middle
    distance = 1.03 * coverage.radius / math.sin(math.radians(_FIELD_OF_VIEW / 2))
    views = []
    for k in range(TURNTABLE_VIEWS):
        degrees = 360 * k / TURNTABLE_VIEWS
        toward = around(start, coverage.up, degrees)
        camera = Camera.look_at(
            (coverage.middle + distance * toward).tolist(),
            coverage.middle.tolist(),
            up=_safe_up(coverage.up, toward).tolist(),
            fov_y_degrees=_FIELD_OF_VIEW,
            width=TURNTABLE_SIDE,
            height=TURNTABLE_SIDE,
        )
        output = measure.draw(objects, camera, coverage.time)
        color = measure.to_bytes(output.color.numpy())
        views.append(TurntableView(degrees, coverage.at(toward), color, measure.normal_colors(output)))
        progress()
    return views


def around(start: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"], degrees: float) -> Float[np.ndarray, " 3"]:
    """A unit direction turned about `up` (Rodrigues)."""
    a = math.radians(degrees)
    turned = start * math.cos(a) + np.cross(up, start) * math.sin(a) + up * (up @ start) * (1 - math.cos(a))
    return turned / max(float(np.linalg.norm(turned)), 1e-12)


def _safe_up(up: Float[np.ndarray, " 3"], toward: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    return up if abs(float(up @ toward)) < 0.99 else np.eye(3)[int(np.abs(toward).argmin())]


def _sway(
    scene: Scene, capture: Capture, cameras: Sequence[Camera], progress: Callable[[], None]
) -> list[TurntableView]:
    frame = len(capture) // 2
    camera, time = cameras[frame].to(torch.float32), capture.times[frame]
    middle, _ = extent(scene.at(time))
    eye = camera.center_in_world.double().numpy()
    up = world_up(cameras)
    scale = SIDE / max(camera.width, camera.height)
    small = camera.resized(max(16, round(camera.width * scale)), max(16, round(camera.height * scale)))
    views = []
    for degrees in (-15.0, -7.5, 0.0, 7.5, 15.0):
        away = eye - middle
        place = middle + around(away, up, degrees) * float(np.linalg.norm(away))
        turn = _rotation(up, degrees)
        pose = torch.eye(4)
        rotation = small.cam_from_world[:3, :3].double().numpy() @ turn.T
        pose[:3, :3] = torch.from_numpy(rotation)
        pose[:3, 3] = torch.from_numpy(-rotation @ place)
        output = measure.draw(scene, Camera(small.K, pose, small.width, small.height), time)
        color = measure.to_bytes(output.color.numpy())
        views.append(TurntableView(degrees, None, color, measure.normal_colors(output)))
        progress()
    return views


def _rotation(up: Float[np.ndarray, " 3"], degrees: float) -> Float[np.ndarray, "3 3"]:
    return np.stack([around(axis, up, degrees) for axis in np.eye(3)], axis=1)


def shrink(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "a b 3"]:
    """At most `side` pixels on the long side."""
    import cv2

    scale = side / max(image.shape[:2])
    if scale >= 1:
        return np.asarray(image)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA), np.uint8)
