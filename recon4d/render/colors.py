"""The channels of surfels as one camera sees them, in plain torch.  Draws nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Surfels, quaternion, spherical_harmonics
from recon4d.render.arguments import state_of


def seen_colors(surfels: Surfels, cam_from_world: Float[Tensor, "4 4"]) -> Float[Tensor, "n c"]:
    """Colour of the spherical harmonics where there are any, then the features; of one state of the surfels."""
    parts = []
    if surfels.sh is not None:
        R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
        # The camera's centre is -R^T t; sums instead of a matrix product, whose order of rounding may vary.
        direction = torch.nn.functional.normalize(surfels.centers + (R * t[:, None]).sum(0), dim=1)
        if surfels.world_from_canonical_wxyz is not None:
            direction = quaternion.rotate(quaternion.conjugate(surfels.world_from_canonical_wxyz), direction)
        parts.append(spherical_harmonics.evaluate(surfels.sh, direction))
    if surfels.features is not None:
        parts.append(surfels.features)
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


def with_seen_colors(surfels: Surfels, cam_from_world: Float[Tensor, "b 4 4"]) -> Surfels:
    """The same image from features alone, for a backend that blends either kind of colour but not both at once."""
    if surfels.sh is None or surfels.features is None:
        return surfels
    seen = torch.stack([seen_colors(state_of(surfels, i), pose) for i, pose in enumerate(cam_from_world)])
    return surfels.replace(sh=None, features=seen, world_from_canonical_wxyz=None)
