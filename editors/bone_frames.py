"""Where bones and paths are at moments, by the kernel where there is one: it takes a tenth of torch's time for so few.

Equal to `BonesWarp.transforms_at`, `BonesWarp.poses_at` and `SE3Spline.at` to rounding, and these are what is used
where a gradient is wanted.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import SE3Spline, quaternion
from recon4d.field import BonesWarp
from recon4d.render import fused


def transforms_at(warp: BonesWarp, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
    """World_from_canonical that each bone would apply."""
    path, rest = warp.path, warp.rest_translations
    if not can_be_quick(path.rotations_wxyz, path.translations, warp.rest_rotations_wxyz, rest, *_tensors(warp.root)):
        return warp.transforms_at(times)
    rotations = path.rotations_wxyz
    if bool(warp.rest_rotations_wxyz[:, 1:].any()):
        # The kernel's bones rest unturned: R(t) o inverse(Q) is the curve of the control poses R_k o inverse(Q).
        unturned = quaternion.conjugate(quaternion.normalize(warp.rest_rotations_wxyz))
        rotations = quaternion.multiply(rotations, unturned[:, None])
    return _at(rotations, path, warp.root, rest, times)


def poses_at(warp: BonesWarp, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
    """World_from_bone of every bone."""
    path = warp.path
    if not can_be_quick(path.rotations_wxyz, path.translations, *_tensors(warp.root)):
        return warp.poses_at(times)
    return _at(path.rotations_wxyz, path, warp.root, torch.zeros_like(warp.rest_translations), times)


def path_at(path: SE3Spline, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "t 4"], Float[Tensor, "t 3"]]:
    """Rotations and translations of a path without batch axes."""
    if not can_be_quick(*_tensors(path)):
        return path.at(times)
    place = path.translations.new_zeros(1, 3)
    one = SE3Spline(path.rotations_wxyz[None], path.translations[None], path.start, path.step)
    rotations, translations = _at(one.rotations_wxyz, one, None, place, times)
    return rotations[:, 0], translations[:, 0]


def can_be_quick(*tensors: Tensor) -> bool:
    """Whether kernels run on the tensors, and no gradient is wanted of them."""
    learned = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    steps = ("bone_transforms", "skin")
    return not learned and all(fused.available(step, t.device, t.dtype) for step in steps for t in tensors)


def _tensors(path: SE3Spline | None) -> tuple[Tensor, ...]:
    return () if path is None else (path.rotations_wxyz, path.translations)


def _at(
    rotations: Tensor, path: SE3Spline, root: SE3Spline | None, rest: Tensor, times: Tensor
) -> tuple[Tensor, Tensor]:
    if root is None:
        root = SE3Spline.constant(rest.new_tensor([1.0, 0.0, 0.0, 0.0]), rest.new_zeros(3))
    roots = (root.rotations_wxyz, root.translations, root.start, root.step)
    return fused.bone_transforms(rotations, path.translations, path.start, path.step, *roots, rest, times.double())
