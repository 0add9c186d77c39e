"""What every selection is, and how one becomes rows of surfels.

A selection is data: it is resolved anew whenever the stack is evaluated, on the scene as the edits before have left
it.  Layers that are locked or hidden are never selected.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import InputError, Surfels
from recon4d.editors.edited_field import EditedField, first_moment
from recon4d.editors.posing import pose
from recon4d.editors.state import Masks, State
from recon4d.editors.values import Tagged
from recon4d.scene import Layer


@dataclass(frozen=True)
class Selection(Tagged):
    """Which surfels an edit is about."""

    @abstractmethod
    def masks(self, state: State) -> dict[str, Tensor]:
        """A bool mask [N] for each layer that has selected surfels, and maybe for others; selectable layers only.

        Raises:
            InputError: the selection cannot be made on this scene.
        """


def resolve(selection: Selection, state: State, what: str = "select") -> Masks:
    """The masks of a selection, for layers where it selects something.

    Raises:
        InputError: nothing is selected, or the selection cannot be made; the field is called `what`.
    """
    masks = chosen(selection, state, what)
    if not masks:
        total = sum(len(layer.field) for layer in state.selectable)
        kept = "; locked and hidden layers are left alone" if state.locked | state.hidden else ""
        raise InputError(
            what,
            expected="a selection of at least one surfel",
            got=f"{selection.kind!r}, which selects none of {total}{kept}",
            fix="select something that is there at this point of the stack",
        )
    return masks


def chosen(selection: Selection, state: State, what: str = "select") -> Masks:
    """As `resolve`, but nothing selected is no error."""
    try:
        found = selection.masks(state)
    except InputError as error:
        if error.what.startswith(what):
            raise
        raise InputError(f"{what}.{error.what}", expected=error.expected, got=error.got, fix=error.fix) from None
    # numpy stops at the first one and is quicker anyway: torch takes as long as for a nonzero.
    return {name: mask for name, mask in found.items() if mask.numpy().any()}


def layers_of(state: State, names: tuple[str, ...], what: str = "layers") -> list[Layer]:
    """The selectable layers of those names, or all where there are no names; InputError for a name that is none."""
    if not names:
        return state.selectable
    wanted = {state.layer(name, what).name for name in names}
    return [layer for layer in state.selectable if layer.name in wanted]


def union(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is in either."""
    return {name: _both(left.get(name), right.get(name)) for name in {**left, **right}}


def _both(left: Tensor | None, right: Tensor | None) -> Tensor:
    if left is None or right is None:
        found = right if left is None else left
        assert found is not None
        return found
    return left | right


def shown_at(layer: Layer, time: float, *, appearance: bool = False) -> Surfels:
    """The surfels of a layer at a time (seconds), by the quickest way there is; without gradients."""
    moment = torch.tensor([time], dtype=torch.float64)
    with torch.no_grad():
        if isinstance(layer.field, EditedField):
            return first_moment(layer.field.stepped(moment, appearance=appearance, fused=True))
        return first_moment(pose(layer.field, moment, appearance=appearance))


def centers_at(layer: Layer, time: float | None) -> Tensor:
    """[N, 3] where the surfels of a layer are: in the world at a time, or in their canonical state for None."""
    return layer.field.canonical.centers if time is None else shown_at(layer, time).centers
