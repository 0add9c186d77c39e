"""Stability over time: flicker of images, and persistence of surfel identities."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped

from recon4d.core import InputError
from recon4d.evaluate.checks import as_image_pair


@dataclass
class FlickerMeter:
    """Flicker in 8-bit levels: how much the error changes from a frame to the next.

    For consecutive frames of one camera: the mean over pixels and channels of the absolute change of the error,
    |(image[t+1] - image[t]) - (reference[t+1] - reference[t])|, times 255; then the mean over pairs of frames.  An
    error that stays the same from frame to frame scores 0 however large it is.  Add frames in order of time; `value`
    may be read at any moment.
    """

    _last: dict[str, Float[np.ndarray, "h w 3"]] = field(default_factory=dict)
    _changes: list[float] = field(default_factory=list)

    def add(self, image: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."], camera: str = "") -> None:
        """The next frame of `camera`: image and reference [H, W, 3].

        Raises:
            InputError: wrong types, sizes or values, or another size than the frame before.
        """
        first, second = as_image_pair(image, reference)
        error = first - second
        before = self._last.get(camera)
        if before is not None:
            if before.shape != error.shape:
                raise InputError(
                    "image",
                    expected=f"the size of the frame before, {before.shape[1]}x{before.shape[0]}",
                    got=f"{error.shape[1]}x{error.shape[0]}",
                    fix="name each camera, or resize",
                )
            self._changes.append(255 * float(np.abs(error - before).mean()))
        self._last[camera] = error

    @property
    def value(self) -> float | None:
        """Mean over all pairs so far; None before there is one."""
        return float(np.mean(self._changes)) if self._changes else None


def id_persistence(ids: list[Int[np.ndarray, "_"]], contributions: list[Float[np.ndarray, "_"]]) -> float:
    """How much of what is seen is drawn by the same surfels from one time to the next, in [0, 1].

    The contribution of a surfel at a time is the sum of its blending weights over all pixels of a camera that stands
    still. With each time's contributions p scaled to sum 1, the score is the mean over consecutive times of sum over
    ids of min(p_t, p_t+1): 1 when every surfel keeps its share of the picture, 0 when none is seen twice.  Motion in
    depth and occlusion lower it a little; surfels that are born, die or take turns lower it much.

    Args:
        ids: for each time, the ids [N_t] of its surfels, unique.
        contributions: for each time, their contributions [N_t] >= 0.

    Raises:
        InputError: fewer than two times, sizes that disagree, repeated ids, or a time at which nothing is seen.
    """
    if len(ids) != len(contributions) or len(ids) < 2:
        raise InputError(
            "ids",
            expected="ids and contributions of at least two times",
            got=f"{len(ids)} and {len(contributions)} times",
            fix="evaluate more frames",
        )
    shares = []
    for time, (names, amounts) in enumerate(zip(ids, contributions, strict=True)):
        total = amounts.sum() if len(names) == len(amounts) and len(np.unique(names)) == len(names) else np.nan
        if not np.isfinite(total) or amounts.min(initial=0) < 0 or total <= 0:
            raise InputError(
                f"contributions at time index {time}",
                expected="unique ids, one finite number >= 0 each, with a sum above 0",
                got=f"{len(names)} ids, {len(amounts)} numbers with sum {total}",
                fix="leave out times at which nothing is seen",
            )
        shares.append((names, amounts / total))
    kept = []
    for (names, share), (next_names, next_share) in itertools.pairwise(shares):
        _, here, there = np.intersect1d(names, next_names, assume_unique=True, return_indices=True)
        kept.append(np.minimum(share[here], next_share[there]).sum())
    return float(np.mean(kept))
