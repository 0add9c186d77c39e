"""How large a moving subject is, where images alone cannot tell.

A subject that is a little larger and as much farther from every camera gives the same images, and its motion can make
up for the difference: it then mirrors the camera's path, small.  Rays through its outlines decide nothing here, but
motion does: what a subject does seldom goes with what the camera does.  So the size is taken at which the subject's
path has nothing of the camera's in it.  The ambiguity is that of nonrigid structure from one moving camera (Ozden,
Cornelis, Van Eycken and Van Gool, "Reconstructing 3D independent motions using non-accidentalness", 2004).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from recon4d.train.moving_object import MovingObject
from recon4d.train.root import spline_basis

_LEAST_MOVED = 0.05  # of the distance: a camera that moves less tells nothing
_MOST_MISSED = 0.1  # of the camera's motion, by a path as smooth as the root's
_MOST_CHANGE = 0.03  # at once
_LEAST_VIEWS = 8


def settle_scale(part: MovingObject, eyes: Float[Tensor, "t 3"], times: list[float], canonical_time: float) -> float:
    """Give an object the size at which its path does not go with the camera's; returns the factor.

    The images stay as they are, as far as the root's path can follow a share of the camera's: where it cannot (cameras
    that jump), the root could not have mirrored the camera in the first place, and nothing is changed.

    Args:
        part: changed in step; its images do not change.
        eyes: [T, 3] places of the cameras in the world, scene units.
        times: [T] seconds of these, rising.
        canonical_time: seconds.
    """
    if len(times) < _LEAST_VIEWS or len(set(times)) < len(times):
        # Several cameras at a moment leave no doubt about the size.
        return 1.0
    start, step = part.root_times
    count = part.parameters["root_translations"].shape[0]
    with torch.no_grad():
        eyes = eyes.double().cpu()
        basis = spline_basis(times, start, step, count)
        controls = torch.linalg.lstsq(basis, eyes, driver="gelsd").solution
        middles = torch.stack([_middle(part, time) for time in times]).double().cpu()
        moments = torch.tensor(times, dtype=torch.float64)
        own, camera = _bends(middles, moments), _bends(eyes, moments)
        distance = (eyes - middles).norm(dim=1).median()
        moved, missed = (x.square().sum(1).mean().sqrt() for x in (camera, basis @ controls - eyes))
        if moved < _LEAST_MOVED * distance or missed > _MOST_MISSED * moved:
            return 1.0
        share = float((own * camera).sum() / camera.square().sum())
        # Scaled by 1 + s about each camera the path is (1 + s) own - s camera.
        change = min(max(share / (1 - min(share, 0.5)), -_MOST_CHANGE), _MOST_CHANGE)
        _scale(part, 1.0 + change, controls, spline_basis([canonical_time], start, step, count)[0] @ controls)
    return 1.0 + change


def _middle(part: MovingObject, time: float) -> Float[Tensor, " 3"]:
    pose = torch.eye(4, device=part.device)[None]
    return part.places((time,), pose)[0][0].mean(0)


def _bends(path: Float64[Tensor, "t 3"], moments: Float64[Tensor, " t"]) -> Float64[Tensor, "t 3"]:
    """A path without its even motion: who follows somebody along a street moves as he does."""
    even = torch.stack([torch.ones_like(moments), moments - moments.mean()], 1)
    return path - even @ torch.linalg.lstsq(even, path).solution


def _scale(part: MovingObject, factor: float, controls: Float64[Tensor, "k 3"], eye: Float64[Tensor, " 3"]) -> None:
    """Scale an object about the camera at every moment: the canonical state about `eye`, the root about `controls`."""
    p = {name: value.data for name, value in part.parameters.items()}
    fixed = (1.0 - factor) * eye.to(p["centers"])
    p["centers"].mul_(factor).add_(fixed)
    for name in ("bone_translations", "residual"):
        if name in p:
            p[name].mul_(factor)
    for name in ("log_scales", "refined_log_scales", "bone_log_radii"):
        if name in p:
            p[name].add_(math.log(factor))
    p["root_translations"].mul_(factor).add_((1.0 - factor) * controls.to(p["centers"]))
    # `size` stays what it was: step sizes go with it, and a resumed fit must have the same.
    part.rest = factor * part.rest + fixed
    if part.box is not None:
        part.box = factor * part.box + fixed
