"""What edits change over time, as a few modes: each a course over time, times numbers for every surfel.

Edited fields may move, stretch, fade and colour surfels as time goes by.  Beside the motion of the warp beneath, which
the player has anyway, such a change is simple: of all its values at all moments, a few modes carry everything (the
singular value decomposition finds them).  Places and turns are kept in the canonical state, where an edit that goes
along with the surface hardly changes at all.  Does NOT write files, and knows no kinds of edits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.export.web.quantize import largest_positive
from recon4d.field.blending import blend_dual_quaternion, blend_linear

_MOST_MODES = 24
_MOMENTS_AT_ONCE = 8  # for their memory
_WHITE = 0.28209479177387814

# How far a value may be off before another mode is taken; centres in shares of the layer's size.
TOLERANCES = {"centers": 3e-4, "turns": 4e-3, "frames": 4e-3, "scales": 0.01, "opacity": 4e-3, "color": 4e-3}


@dataclass(frozen=True, eq=False)
class Look:
    """Modes of one kind of change.

    Attributes:
        kind: "centers" and "turns" (canonical; quaternions xyzw), "frames" (what turns colours besides the warp, xyzw),
            "scales" (logarithms), "opacity" or "color".
        courses: [M, T] over even moments.
        values: [M, N, C] numbers of each surfel.
        error: largest amount by which the modes are off at the moments; for centers in shares of the layer's size.
    """

    kind: str
    courses: Float[np.ndarray, "m t"]
    values: Float[np.ndarray, "m n c"]
    error: float


@torch.no_grad()
def find_looks(
    states: Callable[[slice], Surfels],
    canonical: Surfels,
    weights: Float[Tensor, "n s"],
    indices: Tensor,
    rotations_wxyz: Float[Tensor, "t b 4"],
    shifts: Float[Tensor, "t b 3"],
    blend: str,
) -> list[Look]:
    """The changes that take the warped canonical surfels to the given states.

    Args:
        states: gives N surfels at the moments of a slice of the T, sh as colours; any array may be batched.
        canonical: the N surfels that the warp moves, as they are drawn.
        weights, indices, rotations_wxyz, shifts, blend: the warp at the T moments, see `recon4d.field.blending`.
    """
    moments, parts = len(rotations_wxyz), []
    for begin in range(0, moments, _MOMENTS_AT_ONCE):
        some = slice(begin, begin + _MOMENTS_AT_ONCE)
        warp = (weights, indices, rotations_wxyz[some], shifts[some], blend)
        parts.append(_changes(states(some), canonical, *warp))
    found = []
    for kind, tolerance in TOLERANCES.items():
        look = _modes(kind, np.concatenate([part[kind] for part in parts]), tolerance)
        if look is not None:
            scale = _size(canonical) if kind == "centers" else 1.0
            found.append(Look(kind, look.courses, look.values * scale, look.error))
    return found


def _size(canonical: Surfels) -> float:
    return float((canonical.centers.amax(0) - canonical.centers.amin(0)).norm()) or 1.0


def _changes(
    states: Surfels,
    canonical: Surfels,
    weights: Float[Tensor, "n s"],
    indices: Tensor,
    rotations_wxyz: Float[Tensor, "t b 4"],
    shifts: Float[Tensor, "t b 3"],
    blend: str,
) -> dict[str, Float32[np.ndarray, "t n _"]]:
    """By kind, what differs from the canonical surfels at some moments; centres in shares of the layer's size."""
    moments = len(rotations_wxyz)
    centers, turns, frames = _canonical_state(states, weights, indices, rotations_wxyz, shifts, blend)
    xyzw = quaternion.normalize(canonical.rotations_wxyz.double())[:, [1, 2, 3, 0]].numpy()
    rest = torch.from_numpy(largest_positive(xyzw))[:, [3, 0, 1, 2]]  # the sign that the file has
    turns = _continuous(turns, rest)
    nothing = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    frames = _continuous(frames, nothing.expand(len(rest), 4))
    assert states.sh is not None
    assert canonical.sh is not None
    sizes = _over_time(states.scales, moments, 2).clamp_min(1e-9).log()
    white = states.sh.double()[..., 0, :] * _WHITE
    changes = {
        "centers": (centers - canonical.centers.double()) / _size(canonical),
        "turns": (turns - rest)[..., [1, 2, 3, 0]],
        "frames": (frames - nothing)[..., [1, 2, 3, 0]],
        "scales": sizes - canonical.scales.double().clamp_min(1e-9).log(),
        "opacity": (_over_time(states.opacities, moments, 1) - canonical.opacities.double())[..., None],
        "color": _over_time(white, moments, 2) - canonical.sh.double()[:, 0] * _WHITE,
    }
    return {kind: change.float().numpy() for kind, change in changes.items()}


def _canonical_state(
    states: Surfels, weights: Tensor, indices: Tensor, rotations_wxyz: Tensor, shifts: Tensor, blend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """What the warp would take to the states: centres [T, N, 3], rotations and turns of colours [T, N, 4]; float64."""
    mix = blend_linear if blend == "linear" else blend_dual_quaternion
    count = len(weights)
    corners = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()
    # A blend is affine in the point: where it takes four corners says everything.
    images = [mix(corner.expand(count, 3), weights, indices, rotations_wxyz, shifts) for corner in corners]
    origin, turned = images[0]
    columns = torch.stack([image - origin for image, _ in images[1:]], -1)
    away = states.centers.double() - origin
    centers = torch.linalg.solve(columns, away[..., None])[..., 0]
    assert states.world_from_canonical_wxyz is not None
    back = quaternion.conjugate(turned)
    rotations, frames = (
        quaternion.multiply(back, quaternion.normalize(turns.double()))
        for turns in (states.rotations_wxyz, states.world_from_canonical_wxyz)
    )
    return centers, rotations, frames


def _continuous(turns: Float[Tensor, "t n 4"], first: Float[Tensor, "n 4"]) -> Float[Tensor, "t n 4"]:
    """Quaternions, each of the sign that is nearer to the moment before, beginning with `first`: so modes want them."""
    before, result = first, []
    for moment in turns:
        before = torch.where((moment * before).sum(-1, keepdim=True) < 0, -moment, moment)
        result.append(before)
    return torch.stack(result)


def _over_time(values: Tensor, moments: int, rank: int) -> Tensor:
    """Values with an axis of moments, whether they had it or not, float64."""
    return (values if values.dim() > rank else values.expand(moments, *values.shape)).double()


def _modes(kind: str, change: Float32[np.ndarray, "t n c"], tolerance: float) -> Look | None:
    """The fewest modes that are nowhere off by more than the tolerance; None where nothing changes."""
    moments, count, columns = change.shape
    changed = np.flatnonzero(np.abs(change).max((0, 2)) > tolerance / 4)
    if not len(changed):
        return None
    left = change[:, changed].reshape(moments, -1)
    products = left.astype(np.float64) @ left.T.astype(np.float64)
    courses = np.linalg.eigh(products)[1][:, ::-1].T.astype(np.float32)  # orthonormal, strongest first
    values = []
    for course in courses[:_MOST_MODES]:
        value = course @ left
        left -= np.outer(course, value)
        values.append(np.zeros((count, columns)))
        values[-1][changed] = value.reshape(-1, columns)
        if np.abs(left).max() <= tolerance:
            break
    return Look(kind, courses[: len(values)].astype(np.float64), np.stack(values), float(np.abs(left).max()))
