"""More bones where the images ask for them.

A new bone starts with the motion of the one it is split from, so nothing moves when it is added; afterwards the two
may go different ways.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.train.bones import SLOTS, split_places
from recon4d.train.moving_object import MovingObject
from recon4d.train.optimizer import Optimizer

_NARROWER = 0.7  # radii of a new bone, against its parent's


def grow_bones(part: MovingObject, optimizer: Optimizer, need: Float[Tensor, " n"], count: int) -> int:
    """Split up to `count` bones of an object; returns how many were split.

    Args:
        part, optimizer: changed in step.
        need: [N] how badly each surfel is drawn, >= 0.
        count: of new bones.
    """
    p = part.parameters
    with torch.no_grad():
        parents, places = split_places(p["centers"].detach(), part.rest, part.slots, part.weights(), need, count)
        if not len(parents):
            return 0
        rotations = p["bone_rotations"].detach()[parents]
        offsets = quaternion.rotate(rotations, (places - part.rest[parents])[:, None])
        added = {
            "bone_log_radii": p["bone_log_radii"].detach()[parents] + torch.log(torch.tensor(_NARROWER)),
            "bone_rotations": rotations,
            "bone_translations": p["bone_translations"].detach()[parents] + offsets,
        }
        first = len(part.rest)
        for name, rows in added.items():
            optimizer.append_rows(part, name, rows)
        part.rest = torch.cat([part.rest, places])
        optimizer.forget(part, "skinning", _bind(part, first))
    return len(parents)


def _bind(part: MovingObject, first: int) -> Bool[Tensor, "n 4"]:
    """Let surfels follow the bones from `first` on where these are nearer than one that they follow: which slots."""
    before = part.slots.clone()
    centers = part.parameters["centers"].detach()
    if first < SLOTS:
        # There were free slots, filled up with bone 0.
        count = min(SLOTS, len(part.rest))
        part.slots[:, first:count] = torch.arange(first, count, device=part.device)
        first = count
    radii = part.parameters["bone_log_radii"].detach().exp()
    for bone in range(first, len(part.rest)):
        away = (centers[:, None] - part.rest[part.slots]) / radii[part.slots]
        mine = ((centers - part.rest[bone]) / radii[bone]).square().sum(-1)
        farthest = away.square().sum(-1).max(1)
        nearer = mine < farthest.values
        part.slots[nearer, farthest.indices[nearer]] = bone
        part.parameters["skinning"].data[nearer, farthest.indices[nearer]] = 0.0
    return part.slots != before
