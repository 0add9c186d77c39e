"""Earth mover's distance of two point sets of equal size: the mean distance under the best one-to-one matching.

Exact up to `EXACT_LIMIT` points (shortest augmenting paths, scipy).  Beyond that, D. Bertsekas' auction with epsilon
scaling on a few partners of each point, all free points bidding at once; its prices also give a lower bound on the
optimum over all pairs (linear programming duality), so the error of the answer is known, and name the partners to add
where it is too large.  Published scores of DG-Mesh use an approximation without a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from recon4d.core import InputError
from recon4d.evaluate.checks import as_points

SAMPLES = 8192  # the usual size in published scores
EXACT_LIMIT = 1024
_NEIGHBOURS = 128  # partners that a point may be matched with at first
_ADDED = 32  # partners added to each point where the bound is not yet close enough
_REFINEMENTS = 8
_ROUNDS_PER_POINT = 32


@dataclass(frozen=True)
class EarthMovers:
    """`distance` (mean, in the points' unit) of a complete matching; the best one costs at least `lower_bound`."""

    distance: float
    lower_bound: float


def earth_movers(
    prediction: Shaped[np.ndarray, "..."], truth: Shaped[np.ndarray, "..."], *, relative_gap: float | int = 0.02
) -> EarthMovers:
    """Mean Euclidean distance under the best one-to-one matching of two sets [N, 3].

    With more than `EXACT_LIMIT` points the answer is at most `relative_gap` above the optimum (as a share of the
    answer), by the bound returned with it; where the auction cannot show that, the exact method runs (time of order
    N^3).

    Raises:
        InputError: wrong types or values, sets of different size, or a gap outside (0, 1).
    """
    first, second = as_points(prediction, "prediction"), as_points(truth, "truth")
    if len(first) != len(second):
        raise InputError(
            "prediction",
            expected=f"{len(second)} points as in truth",
            got=str(len(first)),
            fix="draw samples of equal size",
        )
    if not 0 < relative_gap < 1:
        raise InputError(
            "relative_gap", expected="a share between 0 and 1", got=repr(relative_gap), fix="0.02 is a good choice"
        )
    if np.array_equal(first, second):
        return EarthMovers(0.0, 0.0)
    if len(first) > EXACT_LIMIT:
        result = _auction(first, second, relative_gap)
        if result is not None:
            return result
    costs = cdist(first, second)
    exact = float(costs[linear_sum_assignment(costs)].mean())
    return EarthMovers(exact, exact)


def _auction(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], relative_gap: float | int
) -> EarthMovers | None:
    """A matching within the gap, or None where rounds or refinements run out."""
    partners = _first_partners(first, second)
    epsilon = 0.25 * float(np.linalg.norm(np.ptp(np.concatenate([first, second]), axis=0)))
    prices = np.zeros(len(first))
    rounds = _ROUNDS_PER_POINT * len(first)
    for _ in range(_REFINEMENTS):
        costs = _costs(first, second, partners)
        while True:
            matching, rounds = _bid(partners, costs, prices, epsilon, rounds)
            if matching is None:
                return None
            distance = float(np.linalg.norm(first - second[matching], axis=1).mean())
            # A matching costs at most epsilon more than the best one among the partners: half of the gap for that, half
            # for partners that were not considered.
            wanted = 0.5 * relative_gap * distance
            if epsilon <= wanted:
                break
            epsilon = max(epsilon / 5, 0.8 * wanted)
        bound = _lower_bound(first, second, prices)
        if distance - bound <= relative_gap * distance:
            return EarthMovers(distance, bound)
        partners = np.concatenate([partners, _cheapest(first, second, prices)], axis=1)
        epsilon *= 25  # prices that are already right move fast at a coarse epsilon, and crawl at a fine one
    return None


def _lower_bound(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], prices: Float[np.ndarray, "n"]
) -> float:
    """Lower bound on the mean distance from the prices, by weak duality over *all* pairs, not only the partners.

    The sum over i of min over j of (c_ij + p_j), less the sum of all p_j, never exceeds the optimum.
    """
    parts = range(0, len(first), EXACT_LIMIT)
    cheapest = sum(float((cdist(first[i : i + EXACT_LIMIT], second) + prices).min(1).sum()) for i in parts)
    return max(0.0, (cheapest - float(prices.sum())) / len(first))


def _cheapest(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], prices: Float[np.ndarray, "n"]
) -> Int[np.ndarray, "n k"]:
    """The partners that look cheapest at these prices."""
    parts = range(0, len(first), EXACT_LIMIT)
    chosen = [
        np.argpartition(cdist(first[i : i + EXACT_LIMIT], second) + prices, _ADDED, axis=1)[:, :_ADDED] for i in parts
    ]
    return np.concatenate(chosen)


def _first_partners(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, "n k"]:
    """Near ones; near ones once both sets share a centre (shifted shapes); some at random, so that all find one."""
    tree = cKDTree(second)
    shifted = first + (second.mean(0) - first.mean(0))
    near, few = np.arange(1, _NEIGHBOURS // 2 + 1), np.arange(1, _NEIGHBOURS // 4 + 1)
    anyone = np.random.default_rng(0).integers(len(second), size=(len(first), len(few)))
    return np.concatenate([tree.query(first, k=near)[1], tree.query(shifted, k=few)[1], anyone], axis=1)


def _costs(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], partners: Int[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Distances to the partners, which are sorted in place; repeated ones get an infinite cost."""
    partners.sort(axis=1)
    costs = np.linalg.norm(first[:, None] - second[partners], axis=2)
    costs[:, 1:][partners[:, 1:] == partners[:, :-1]] = np.inf
    return costs


def _bid(
    candidates: Int[np.ndarray, "n k"],
    costs: Float[np.ndarray, "n k"],
    prices: Float[np.ndarray, "n"],
    epsilon: float,
    rounds: int,
) -> tuple[Int[np.ndarray, "n"] | None, int]:
    """One auction at a fixed epsilon, raising `prices` in place: the matching (None: out of rounds), rounds left."""
    size = len(prices)
    owner, matched = np.full(size, -1), np.full(size, -1)
    free = np.arange(size)
    while len(free):
        if rounds == 0:
            return None, 0
        rounds -= 1
        gains = -(costs[free] + prices[candidates[free]])
        rows, best = np.arange(len(free)), gains.argmax(1)
        top = gains[rows, best]
        gains[rows, best] = -np.inf
        second_best = gains.max(1)
        second_best = np.where(np.isfinite(second_best), second_best, top)
        item = candidates[free, best]
        offer = prices[item] + (top - second_best) + epsilon
        order = np.lexsort((offer, item))
        highest = order[np.r_[item[order][1:] != item[order][:-1], True]]
        won, winners = item[highest], free[highest]
        outbid = owner[won][owner[won] >= 0]
        prices[won], owner[won] = offer[highest], winners
        matched[winners] = won
        matched[outbid] = -1
        lost = np.ones(len(free), dtype=bool)
        lost[highest] = False
        free = np.concatenate([free[lost], outbid])
    return matched, rounds
