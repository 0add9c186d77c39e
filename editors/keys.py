"""Numbers over time: eased keys, spans with soft ends, and the checks that edits share.

Times are seconds of the scene.  Between two keys the value goes from one to the other by the ease of the later key;
before the first and after the last it stands still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon4d.core import InputError

Ease = Literal["linear", "smooth", "in", "out", "hold"]
Vector = tuple[float, float, float]

LARGEST = 1e6
"""Scene units and factors beyond which an edit is a slip of the hand: floats have few digits left there."""

EASES: tuple[Ease, ...] = ("linear", "smooth", "in", "out", "hold")


@dataclass(frozen=True)
class Key:
    """A number at a time.

    Attributes:
        time: seconds.
        value: the number.
        ease: how it is reached from the key before: linear, smooth (slow at both ends), in (slow at the start), out
            (slow at the end) or hold (jump at this key).
    """

    time: float
    value: float
    ease: Ease = "smooth"

    def __post_init__(self) -> None:
        check_finite("time", self.time)
        check_finite("value", self.value)


@dataclass(frozen=True)
class Span:
    """A range of time in which an edit is in force.

    Attributes:
        start: first second.
        end: last second, after `start`.
        fade: seconds at either end, inside the range, in which the edit comes and goes smoothly.
    """

    start: float
    end: float
    fade: float = 0.0

    def __post_init__(self) -> None:
        for name in ("start", "end", "fade"):
            check_finite(name, getattr(self, name))
        if not self.start < self.end:
            raise InputError(
                "end", expected=f"a time after start, {self.start:g} s", got=f"{self.end:g} s", fix="swap them"
            )
        if not 0 <= self.fade <= (self.end - self.start) / 2:
            half = (self.end - self.start) / 2
            raise InputError("fade", expected=f"0 to {half:g} s, half the range", got=f"{self.fade:g} s", fix="less")


def eased(share: Tensor, ease: Ease) -> Tensor:
    """Shares [...] in [0, 1] of the way between two keys, by the time's share."""
    if ease == "smooth":
        return share * share * (3 - 2 * share)
    if ease == "in":
        return share * share
    if ease == "out":
        return share * (2 - share)
    if ease == "hold":
        return (share >= 1).to(share)
    return share


def locate(keys: Sequence[float], eases: Sequence[Ease], times: Tensor) -> tuple[Tensor, Tensor]:
    """Key before each of T times, clamped so that one follows, and eased share [T] of the way to the next."""
    at = torch.tensor(keys, dtype=torch.float64)
    moments = times.detach().double().cpu()
    before = (torch.searchsorted(at, moments, right=True) - 1).clamp(0, max(len(keys) - 2, 0))
    if len(keys) == 1:
        return before, torch.zeros_like(moments)
    raw = ((moments - at[before]) / (at[before + 1] - at[before])).clamp(0, 1)
    share = raw.clone()
    for i, ease in enumerate(eases):
        there = before == i - 1
        if i and bool(there.any()):
            share[there] = eased(raw[there], ease)
    return before, share


def values_at(keys: Sequence[Key], times: Tensor) -> Tensor:
    """The number at each of T times, float64 [T]; at least one key."""
    before, share = locate([key.time for key in keys], [key.ease for key in keys], times)
    values = torch.tensor([key.value for key in keys], dtype=torch.float64)
    after = (before + 1).clamp(max=len(keys) - 1)
    return values[before] + share * (values[after] - values[before])


def envelope(span: Span | None, times: Tensor) -> Tensor:
    """How much an edit is in force at each of T times, float64 [T] in [0, 1]; 1 where there is no span."""
    moments = times.detach().double().cpu()
    if span is None:
        return torch.ones_like(moments)
    inside = ((moments >= span.start) & (moments <= span.end)).double()
    if span.fade == 0:
        return inside
    ramp = (torch.minimum(moments - span.start, span.end - moments) / span.fade).clamp(0, 1)
    return eased(ramp, "smooth")


def check_finite(name: str, value: float) -> None:
    """InputError unless it is a finite number."""
    if not math.isfinite(value):
        raise InputError(name, expected="a finite number", got=repr(value), fix="give a number")


def check_vector(name: str, vector: Sequence[float]) -> None:
    """InputError unless all are finite, and no larger than places in a scene are."""
    for i, value in enumerate(vector):
        check_finite(f"{name}[{i}]", value)
        check_range(f"{name}[{i}]", value, -LARGEST, LARGEST)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """InputError unless the number is in [low, high]."""
    if not low <= value <= high:
        raise InputError(name, expected=f"a number from {low:g} to {high:g}", got=repr(value), fix="choose another")


def check_order(name: str, times: Sequence[float]) -> None:
    """InputError unless the times of keys increase."""
    for i in range(1, len(times)):
        if not times[i - 1] < times[i]:
            got = f"{times[i - 1]:g} s, then {times[i]:g} s"
            raise InputError(f"{name}[{i}].time", expected="keys in order of time", got=got, fix="sort the keys")
