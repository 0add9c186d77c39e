"""Selections made of others: added, taken away, intersected, turned round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors.selections.base import Selection, chosen, layers_of, union
from recon4d.editors.state import State


@dataclass(frozen=True)
class Union(Selection, kind="union"):
    """What is in any of some selections.

    Attributes:
        of: the selections.
    """

    of: tuple[Selection, ...]

    def __post_init__(self) -> None:
        _check_some("of", self.of)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found: dict[str, Tensor] = {}
        for i, part in enumerate(self.of):
            found = union(found, chosen(part, state, f"of[{i}]"))
        return found


@dataclass(frozen=True)
class Intersect(Selection, kind="intersect"):
    """What is in all of some selections.

    Attributes:
        of: the selections.
    """

    of: tuple[Selection, ...]

    def __post_init__(self) -> None:
        _check_some("of", self.of)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found = dict(chosen(self.of[0], state, "of[0]"))
        for i, part in enumerate(self.of[1:], 1):
            other = chosen(part, state, f"of[{i}]")
            found = {name: mask & other[name] for name, mask in found.items() if name in other}
        return found


@dataclass(frozen=True)
class Subtract(Selection, kind="subtract"):
    """A selection without what others select.

    Attributes:
        base: the selection.
        minus: what is taken away from it.
    """

    base: Selection
    minus: tuple[Selection, ...]

    def __post_init__(self) -> None:
        _check_some("minus", self.minus)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found = dict(chosen(self.base, state, "base"))
        for i, part in enumerate(self.minus):
            other = chosen(part, state, f"minus[{i}]")
            found = {name: mask & ~other[name] if name in other else mask for name, mask in found.items()}
        return found


@dataclass(frozen=True)
class Invert(Selection, kind="invert"):
    """Everything that a selection leaves out.

    Attributes:
        of: the selection.
        layers: names of layers to stay within; all layers when empty.
    """

    of: Selection
    layers: tuple[str, ...] = ()

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found = chosen(self.of, state, "of")
        return {
            layer.name: ~found[layer.name] if layer.name in found else torch.ones(len(layer.field), dtype=torch.bool)
            for layer in layers_of(state, self.layers)
        }


def _check_some(what: str, of: tuple[Selection, ...]) -> None:
    if not of:
        raise InputError(what, expected="at least one selection", got="none", fix="give one")
