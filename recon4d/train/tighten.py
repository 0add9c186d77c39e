"""Make a carved hull look as large as the subject.

A hull contains its subject, and surfels on it reach beyond their centres: what is drawn is larger than the masks.
Left so, a fit bends limbs away from the camera, because that makes them look shorter sooner than its surfels shrink.
So the surfels are moved inwards, by the distance at which the drawn coverage agrees best with the masks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, SE3Spline, Surfels, quaternion, rigid
from recon4d.render import rasterize
from recon4d.train.frames import Frame, crop_camera, cut
from recon4d.train.hull import Hull, moved_since

_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # standard deviations of a surfel
_VIEWS = 9
_OPAQUE = 0.9


def tightened(hull: Hull, frames: tuple[Frame, ...], root: SE3Spline, canonical_time: float) -> Hull:
    """The hull, moved inwards along its normals so that its image agrees with the masks near the canonical time.

    Args:
        hull: as carved.
        frames: of the one object.
        root: where it is over time.
        canonical_time: seconds.
    """
    near = sorted(frames, key=lambda frame: abs(frame.time - canonical_time))[:_VIEWS]
    cameras = [_relative(frame, root, canonical_time) for frame in near]
    inwards = -quaternion.rotate(hull.rotations_wxyz, hull.centers.new_tensor([0.0, 0.0, 1.0]))
    errors = []
    for step in _STEPS:
        centers = hull.centers + step * hull.scale * inwards
        errors.append(sum(_disagreement(hull, centers, *pair) for pair in zip(near, cameras, strict=True)))
    best = _STEPS[min(range(len(_STEPS)), key=lambda k: errors[k])]
    return replace(hull, centers=(hull.centers + best * hull.scale * inwards).contiguous())


def _relative(frame: Frame, root: SE3Spline, canonical_time: float) -> Camera:
    """The camera of a frame's box, relative to a subject that stands as at the canonical time."""
    turn, shift = moved_since(root, frame.time, canonical_time)
    world_from_canonical = rigid.from_rotation_translation(turn, shift)
    camera = crop_camera(frame.camera, frame.box)
    return replace(camera, cam_from_world=camera.cam_from_world @ world_from_canonical.to(camera.cam_from_world))


def _disagreement(hull: Hull, centers: Float[Tensor, "n 3"], frame: Frame, camera: Camera) -> float:
    """Mean difference between drawn coverage and mask."""
    count = len(centers)
    surfels = Surfels(
        centers.contiguous(),
        hull.rotations_wxyz.contiguous(),
        torch.full((count, 2), hull.scale),
        torch.full((count,), _OPAQUE),
        features=torch.ones(count, 1),
    )
    drawn = rasterize(surfels, camera).alpha[..., 0]
    return float((drawn - cut(frame.pixels[..., 3], frame.box).float() / 255).abs().mean())
