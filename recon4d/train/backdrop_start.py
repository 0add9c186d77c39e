"""The first background surfels: unprojected pixels that no object covers, at depths from structure from motion.

Where nothing is known of depth (the camera stood still or only turned), the background is a curtain behind the
objects; then only views from about where the camera was mean anything, and a warning says so.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, InputError
from recon4d.train.backdrop import Backdrop, carried_path
from recon4d.train.capture import Capture
from recon4d.train.frames import Frame, Frames
from recon4d.train.hull import facing
from recon4d.train.part import as_leaves, logit, nearest_surfels, surfel_parameters

_VIEWS = 12
_LEAST_POINTS = 30
_NEIGHBOURS = 4
_BEHIND = 1.6
_OPAQUE = 0.9


def create_backdrop(
    capture: Capture,
    frames: Frames,
    objects: list[tuple[Float[Tensor, " 3"], float]],
    *,
    count: int,
    sh_degree: int,
    device: torch.device,
) -> tuple[Backdrop, list[str]]:
    """The background of a capture that has one, and warnings.

    Args:
        capture: its `background` is "static" or "camera".
        frames: of the capture.
        objects: middle in the world and size of each object.
        count: about how many surfels.
        sh_degree: of the colours.
        device: of the parameters.
    """
    warnings = []
    fixed = capture.background == "camera"
    factor = max(frames.levels)
    level = frames.levels[factor]
    cameras = [_before_itself(frame.camera) if fixed else frame.camera for frame in level]
    points = None if fixed or capture.points is None or len(capture.points) < _LEAST_POINTS else capture.points
    depth = _curtain_depth(level, objects)
    if points is None:
        warnings.append(
            "The depth of the background is not known: it is a curtain behind the subject, right from where the camera "
            "was and nowhere else."
        )
    views = range(len(level)) if fixed else sorted({int(i) for i in np.linspace(0, len(level) - 1, _VIEWS)})
    per_view = max(200, count // (2 if fixed else 3))
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for index in _median_order(views):
        frame, camera = level[index], cameras[index]
        cell = max(1.0, (camera.width * camera.height / per_view) ** 0.5)
        new = _uncovered(frame, camera, found, cell, None if points is None else torch.from_numpy(points), depth)
        if new is not None:
            found.append(new)
        if sum(len(part[0]) for part in found) >= count:
            break
    if not found:
        raise InputError(
            "background",
            expected="something of it beside the objects",
            got="masks that cover all of every image that was looked at",
            fix="correct the masks, or use --background none",
        )
    centers, normals, scales, colors = (torch.cat(parts) for parts in zip(*found, strict=True))
    away = torch.stack([(camera.center_in_world - centers.mean(0)).norm() for camera in cameras])
    values = surfel_parameters(
        centers,
        facing(normals),
        scales[:, None].repeat(1, 2),
        colors,
        opacity_logit=logit(_OPAQUE),
        sh_degree=sh_degree,
    )
    part = Backdrop(
        "background",
        "background",
        as_leaves(values, device),
        torch.arange(len(centers)),
        len(centers),
        float(away.median()),
        nearest_surfels(centers).to(device),
        frame=capture.background if capture.background != "none" else "static",
        carried=carried_path(capture.times, list(capture.cameras)) if fixed else None,
    )
    return part, warnings


def _before_itself(camera: Camera) -> Camera:
    return Camera(camera.K, torch.eye(4), camera.width, camera.height)


def _curtain_depth(level: tuple[Frame, ...], objects: list[tuple[Tensor, float]]) -> float:
    """Beyond every object in every view."""
    depths = [float(frame.camera.project(middle)[1]) + 0.5 * size for frame in level for middle, size in objects]
    return _BEHIND * max(depths, default=4.0)


def _median_order(views: range | list[int]) -> list[int]:
    """From the middle outwards by halving, so that few views already cover most."""
    order, spans = [], [list(views)]
    while spans:
        span = spans.pop(0)
        if span:
            half = len(span) // 2
            order.append(span[half])
            spans += [span[:half], span[half + 1 :]]
    return order


def _uncovered(
    frame: Frame,
    camera: Camera,
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]],
    cell: float,
    points: Tensor | None,
    curtain: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Centres, normals, scales and colours for the cells of an image that no surfel and no object covers yet."""
    rows, columns = int(camera.height / cell), int(camera.width / cell)
    y = ((torch.arange(rows) + 0.5) * camera.height / rows).long()
    x = ((torch.arange(columns) + 0.5) * camera.width / columns).long()
    objects = frame.masks.amax(0) if len(frame.masks) else torch.zeros(camera.height, camera.width, dtype=torch.uint8)
    near = torch.nn.functional.max_pool2d(objects[None].float(), 5, 1, 2)[0] > 0
    free = ~near[y][:, x]
    if found:
        pixels, depth = camera.project(torch.cat([part[0] for part in found]))
        column = (pixels[:, 0] * columns / camera.width).floor().long()
        row = (pixels[:, 1] * rows / camera.height).floor().long()
        ok = (depth > 0) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        taken = torch.zeros(rows * columns, dtype=torch.bool)
        taken[(row * columns + column)[ok]] = True
        free &= ~(torch.nn.functional.max_pool2d(taken.view(1, rows, columns).float(), 3, 1, 1)[0] > 0)
    if not bool(free.any()):
        return None
    origin, rays = camera.rays()
    ray = rays[y][:, x][free]
    pixel = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)[free]
    depth = torch.full((len(ray),), curtain) if points is None else _depths(pixel, camera, points, curtain)
    color = frame.pixels[..., :3][pixel[:, 0], pixel[:, 1]].float() / 255
    towards = -torch.nn.functional.normalize(ray, dim=-1)
    scale = 0.6 * cell * depth / camera.K[0, 0]
    return origin + depth[:, None] * ray, towards, scale, color.clamp(0.02, 0.98)


def _depths(pixel: Tensor, camera: Camera, points: Tensor, otherwise: float) -> Float[Tensor, " p"]:
    """Depths at pixels (row, column) from the nearest points in the image, by inverse distance."""
    from scipy.spatial import cKDTree

    places, depth = camera.project(points.to(camera.K))
    ok = (depth > 0) & (places >= 0).all(-1) & (places[:, 0] < camera.width) & (places[:, 1] < camera.height)
    if int(ok.sum()) < _NEIGHBOURS:
        return torch.full((len(pixel),), otherwise)
    away, rows = cKDTree(places[ok].numpy()).query(pixel.flip(1).numpy() + 0.5, k=_NEIGHBOURS)
    weights = torch.from_numpy(1 / (1 + away**2)).float()
    inverse = (weights / depth[ok][torch.from_numpy(rows)]).sum(1) / weights.sum(1)
    return 1 / inverse
