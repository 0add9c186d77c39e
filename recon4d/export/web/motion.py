"""How a layer moves, as bones with sampled tracks: what the web player warps surfels by.

Bones, single rigid paths and things that stand still are taken as they are; displacements on top of them go along as
their grid.  Between samples the player draws the cubic through the four nearest ones, and so does `track_at` here, so
that what sampling loses can be measured.  Does NOT write files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon4d.core import quaternion
from recon4d.field import BonesWarp, IdentityWarp, ResidualWarp, RigidWarp
from recon4d.field.warp import Warp

Blend = Literal["linear", "dual_quaternion"]
Clock = Callable[[Float[np.ndarray, " t"]], Float[np.ndarray, " t"]]

_TOLERANCE = 1e-4  # of the layer's size: far below a pixel
_MOST_SAMPLES = 4096
_MOST_VALUES = 2_000_000  # numbers in the tracks of a layer


@dataclass(frozen=True, eq=False)
class Tracks:
    """B bones over T even moments.

    Attributes:
        first, step: seconds of the first sample and between samples; step is 0 for one sample.
        pivots: [B, 3] a point of each bone in the canonical state, amid the surfels that follow it.
        places: [T, B, 3] where the pivots are.
        turns_xyzw: [T, B, 4] unit quaternions world_from_canonical, of continuous sign.
        indices: [N, 4] bones of each surfel, strongest first.
        weights: [N, 4] their weights, which sum to 1.
        blend: how the transforms of several bones are mixed.
        residual: displacements before the bones; None where there are none.
    """

    first: float
    step: float
    pivots: Float[np.ndarray, "b 3"]
    places: Float[np.ndarray, "t b 3"]
    turns_xyzw: Float[np.ndarray, "t b 4"]
    indices: Int[np.ndarray, "n 4"]
    weights: Float[np.ndarray, "n 4"]
    blend: Blend
    residual: ResidualWarp | None


def _same(times: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """The warp's time is the scene's."""
    return times


def is_plain(warp: Warp) -> bool:
    """Whether the warp can be written as bones without any loss but sampling."""
    return isinstance(warp.underlying, BonesWarp | RigidWarp | IdentityWarp)


@torch.no_grad()
def sample_tracks(
    warp: Warp,
    centers: Float[Tensor, "n 3"],
    first: float,
    last: float,
    frames: int,
    clock: Clock = _same,
) -> Tracks:
    """Sample a warp of bones as densely as it takes to be off by less than a ten-thousandth of the layer's size.

    Args:
        warp: one that `is_plain`.
        centers: [N, 3] canonical centres.
        first, last: seconds; equal for one moment.
        frames: samples to begin with.
        clock: the warp's own time for each time.
    """
    base = warp.underlying
    indices, weights = _binding(base, len(centers))
    pivots, reach = _pivots(centers, indices, weights)
    size = float((centers.amax(0) - centers.amin(0)).norm()) or 1.0
    moving = last > first and not isinstance(base, IdentityWarp)
    count = max(frames, 2) if moving else 1
    while True:
        times = np.linspace(first, last, count) if moving else np.array([first])
        turns, places = _poses(base, pivots, clock(times))
        step = (last - first) / (count - 1) if moving else 0.0
        if not moving or 2 * count > _MOST_SAMPLES or 2 * count * len(pivots) * 7 > _MOST_VALUES:
            break
        between = (times[:-1] + times[1:]) / 2
        true_turns, true_places = _poses(base, pivots, clock(between))
        near_places = track_at(places, first, step, between)
        near_turns = unit(track_at(turns, first, step, between))
        cosines = np.abs((true_turns * near_turns).sum(-1)).clip(0, 1)
        error = np.linalg.norm(true_places - near_places, axis=-1) + 2 * np.arccos(cosines) * reach
        # arccos of a rounded 1 is not 0: single precision paths cannot say less than this anyway.
        if error.max() < max(_TOLERANCE, 5e-4 * float(reach.max()) / size) * size:
            break
        count = 2 * count - 1
    residual = warp if isinstance(warp, ResidualWarp) else None
    blend: Blend = base.blend if isinstance(base, BonesWarp) else "linear"
    return Tracks(
        first, step, pivots.numpy(), places, turns, indices.numpy(), weights.double().numpy(), blend, residual
    )


def track_at(
    samples: Float[np.ndarray, "t *values"], first: float, step: float, times: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m *values"]:
    """Values between even samples: the cubic of Catmull and Rom (1974), beyond the ends the nearest sample.

    Before the first and after the last sample a further one is thought of on the parabola through the outermost three.
    """
    count = len(samples)
    if count == 1 or step == 0:
        return np.repeat(samples[:1], len(times), 0)
    place = ((times - first) / step).clip(0, count - 1)
    index = np.minimum(place.astype(int), count - 2)
    u = (place - index).reshape(-1, *[1] * (samples.ndim - 1))
    before, after = _continued(samples), _continued(samples[::-1])
    longer = np.concatenate([before[None], samples, after[None]])
    p0, p1, p2, p3 = (longer[index + i] for i in range(4))
    return p1 + 0.5 * u * (p2 - p0 + u * (2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0)))


def unit(quaternions: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 4"]:
    """Quaternions of length 1."""
    return quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)


def _continued(samples: np.ndarray) -> np.ndarray:
    """One sample before the first."""
    if len(samples) == 2:
        return 2 * samples[0] - samples[1]
    return 3 * samples[0] - 3 * samples[1] + samples[2]


def _binding(base: Warp, count: int) -> tuple[Tensor, Tensor]:
    """Bones and weights of the surfels, strongest first."""
    if not isinstance(base, BonesWarp):
        weights = torch.zeros(count, 4)
        weights[:, 0] = 1
        return torch.zeros(count, 4, dtype=torch.int64), weights
    weights, order = base.weights.cpu().sort(dim=1, descending=True, stable=True)
    indices = base.weight_indices.cpu().gather(1, order)
    return torch.where(weights > 0, indices, indices[:, :1]), weights


def _pivots(centers: Tensor, indices: Tensor, weights: Tensor) -> tuple[Tensor, np.ndarray]:
    """[B, 3] weighted mean of each bone's surfels, float64, and how far [B] the farthest of them is."""
    bones = int(indices.max()) + 1
    places = centers.double().cpu()
    dense = torch.zeros(bones, len(places), dtype=torch.float64)
    dense.index_put_(
        (indices.flatten(), torch.arange(len(places))[:, None].expand_as(indices).flatten()),
        weights.double().flatten(),
        accumulate=True,
    )
    share = dense.sum(1, keepdim=True)
    pivots = torch.where(share > 0, dense @ places / share.clamp(min=1e-12), places.mean(0))
    used = dense > 0.01
    reach = [float((places[used[b]] - pivots[b]).norm(dim=1).max()) if used[b].any() else 0.0 for b in range(bones)]
    return pivots, np.array(reach)


def _poses(base: Warp, pivots: Tensor, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns [T, B, 4] xyzw of continuous sign and places [T, B, 3] of the pivots, float64."""
    moments = torch.from_numpy(times)
    exact = base.to("cpu", torch.float64)
    if isinstance(exact, BonesWarp):
        rotations, shifts = (part[:, : len(pivots)] for part in exact.transforms_at(moments))
        places = quaternion.rotate(rotations, pivots[None].expand(len(times), -1, -1)) + shifts
    else:
        places, rotations = exact.at_times(pivots, moments)
    turns = quaternion.normalize(rotations)[..., [1, 2, 3, 0]].numpy().copy()
    for i in range(1, len(turns)):
        turns[i] *= np.where((turns[i] * turns[i - 1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return turns, places.numpy()
