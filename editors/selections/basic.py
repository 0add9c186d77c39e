"""Selections by name: everything, whole layers, ids, and parts that were named before."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from recon4d.core import InputError
from recon4d.editors.selections.base import Selection, layers_of
from recon4d.editors.state import State


@dataclass(frozen=True)
class All(Selection, kind="all"):
    """Every surfel of every layer that is neither locked nor hidden."""

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        return {layer.name: torch.ones(len(layer.field), dtype=torch.bool) for layer in state.selectable}


@dataclass(frozen=True)
class InLayers(Selection, kind="layer"):
    """Whole layers, that is objects.

    Attributes:
        names: of the layers, at least one.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("names", expected="at least one layer", got="none", fix="name a layer")

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        return {
            layer.name: torch.ones(len(layer.field), dtype=torch.bool)
            for layer in layers_of(state, self.names, "names")
        }


@dataclass(frozen=True)
class Ids(Selection, kind="ids"):
    """Surfels of a layer by their ids.

    Attributes:
        layer: name.
        ranges: first and last id of each run, flat: [0, 99, 250, 250] is 0 to 99, and 250.  Runs increase.
    """

    layer: str
    ranges: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.ranges) % 2 or not self.ranges:
            got = f"{len(self.ranges)} numbers"
            raise InputError("ranges", expected="pairs of first and last id", got=got, fix="write [first, last, ...]")
        firsts, lasts = self.ranges[::2], self.ranges[1::2]
        for first, last in zip(firsts, lasts, strict=True):
            if first > last:
                raise InputError("ranges", expected="first <= last", got=f"{first} to {last}", fix="swap them")
        for last, first in zip(lasts, firsts[1:], strict=False):
            if first <= last:
                raise InputError("ranges", expected="runs in order", got=f"{first} after {last}", fix="sort the runs")

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        layer = state.layer(self.layer)
        if layer not in state.selectable:
            return {}
        ids = layer.field.ids
        bounds = torch.tensor(self.ranges, dtype=torch.int64)
        firsts, lasts = bounds[::2].contiguous(), bounds[1::2].contiguous()
        if _is_sorted(ids):
            # As good as always: each run is a slice.
            mask = torch.zeros(len(ids), dtype=torch.bool)
            begins, ends = torch.searchsorted(ids, firsts), torch.searchsorted(ids, lasts, right=True)
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
                mask[begin:end] = True
        else:
            run = torch.searchsorted(firsts, ids, right=True) - 1
            mask = (run >= 0) & (ids <= lasts[run.clamp_min(0)])
        if not mask.numpy().any():
            known = f"ids of layer {self.layer!r}"
            known += f", from {int(ids.min())} to {int(ids.max())}" if len(ids) else ", which has no surfels"
            got = f"{self.ranges[0]} to {self.ranges[-1]}, none of them there"
            raise InputError("ranges", expected=known, got=got, fix="select anew on the scene as it is now")
        return {layer.name: mask}


@dataclass(frozen=True)
class Part(Selection, kind="part"):
    """A part that an edit before has named.

    Attributes:
        name: of the part.
    """

    name: str

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        if self.name not in state.parts:
            known = ", ".join(repr(name) for name in sorted(state.parts)) or "no parts yet"
            raise InputError("name", expected=known, got=repr(self.name[:80]), fix="name the part by an edit before")
        part = state.parts[self.name]
        return {
            layer.name: torch.isin(layer.field.ids, part[layer.name])
            for layer in state.selectable
            if layer.name in part
        }


def _is_sorted(ids: Int64[Tensor, " n"]) -> bool:
    known = _sorted.get(ids)
    if known is None:
        known = _sorted[ids] = bool((ids[1:] > ids[:-1]).all())
    return known


_sorted: MutableMapping[Tensor, bool] = WeakTensorKeyDictionary()


def to_ranges(ids: Int64[Tensor, " m"]) -> tuple[int, ...]:
    """Ids as flat runs for `Ids.ranges`."""
    known: Iterable[int] = sorted({int(i) for i in ids})
    runs: list[int] = []
    for i in known:
        if runs and i == runs[-1] + 1:
            runs[-1] = i
        else:
            runs += [i, i]
    return tuple(runs)
