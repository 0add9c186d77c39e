"""A field with edits that depend on time: what the warp makes of the surfels, then one step after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import Surfels
from recon4d.editors.posing import pose
from recon4d.field import Field

RANKS = {"opacities": 1, "sh": 3}
"""Dimensions of arrays of surfels without the axis of moments; 2 for all others."""


@dataclass(frozen=True, eq=False)
class Source:
    """The field beneath all steps.

    Attributes:
        field: plain, for its warp.
        times: [T] its own moments, seconds; others than those of a step that comes after a change of the clock.
        carried: world_from_frame of the layer that carries it, [T, 4] and [T, 3]; None where nothing does.
    """

    field: Field
    times: Float[Tensor, " t"]
    carried: tuple[Tensor, Tensor] | None = None


class Step(ABC):
    """One change of moved surfels; subclasses are frozen dataclasses of tensors and numbers."""

    def source_times(self, times: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
        """The moments of everything before this step that are shown at T moments; the same, but for retiming."""
        return times

    def carries(self, shown: Float[Tensor, " t"]) -> tuple[Tensor, Tensor] | None:
        """Where it carries everything at T moments of the scene, as rotations [T, 4] and places [T, 3]; if it does."""
        return None

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        """The changed surfels; the same, but for steps that change them.

        Args:
            state: N surfels at T moments; arrays with or without the axis of moments.
            times: [T] seconds, as this step knows them.
            source: what the surfels come from.
        """
        return state

    def shapes_at(self, times: Float[Tensor, " t"]) -> Tensor | None:
        """How far it changes the canonical shape at T moments, float64 [T]; None for steps that do not."""
        return None

    def shaped(self, field: Field, share: float) -> Field:
        """A plain field with its canonical shape changed by a share, before it is moved; see `shapes_at`."""
        return field

    def lit(self, state: Surfels, share: float) -> Surfels:
        """Surfels [T, N] that `shaped` has turned, with their colours turned too."""
        return state

    @abstractmethod
    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        """The step for the surfels that `rows` (an index each) picks out of those it was made for."""

    def to(self, *args: object, **kwargs: object) -> Step:
        """As `torch.Tensor.to`, applied to its tensors."""
        return self


@dataclass(frozen=True, eq=False)
class EditedField(Field):
    """Surfels whose motion, size, opacity or colour is changed over time by steps.

    `at_times` and `appearance_at_times` may return every array batched by time, not only centres and rotations.

    Attributes:
        steps: the changes, in order; the canonical surfels and the warp know nothing of them.
    """

    steps: tuple[Step, ...] = ()

    def plain(self) -> Field:
        """The field beneath the steps."""
        return Field(self.canonical, self.ids, self.warp, self.refined)

    def at(self, time: float | int) -> Surfels:
        """The surface at one moment (seconds), without batch axis."""
        return first_moment(self.at_times([time]))

    def at_times(self, times: Sequence[float | int] | Float[Tensor, " t"]) -> Surfels:
        """The surface at T moments (seconds); any array may be batched by them."""
        return self.stepped(times, appearance=False)

    def appearance_at(self, time: float | int) -> Surfels:
        """The surfels to draw in colour at one moment, without batch axis."""
        return first_moment(self.appearance_at_times([time]))

    def appearance_at_times(self, times: Sequence[float | int] | Float[Tensor, " t"]) -> Surfels:
        """The surfels to draw in colour at T moments; any array may be batched by them."""
        return self.stepped(times, appearance=True)

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> EditedField:
        """The field of some surfels, steps and all."""
        plain = self.plain().select(rows)
        picked = torch.nonzero(rows)[:, 0] if rows.dtype == torch.bool else rows
        steps = tuple(step.select(picked) for step in self.steps)
        return EditedField(plain.canonical, plain.ids, plain.warp, plain.refined, steps)

    def to(self, *args: object, **kwargs: object) -> EditedField:
        """As `torch.Tensor.to`, applied to surfels, warp, refined branch and steps."""
        plain = self.plain().to(*args, **kwargs)
        steps = tuple(step.to(*args, **kwargs) for step in self.steps)
        return EditedField(plain.canonical, plain.ids, plain.warp, plain.refined, steps)

    def stepped(
        self, times: Sequence[float | int] | Float[Tensor, " t"], *, appearance: bool, fused: bool = False
    ) -> Surfels:
        """The surfels at T moments (seconds); `fused` lets kernels move them, which differ in rounding only."""
        moments = torch.as_tensor(times, dtype=torch.float64, device=self.canonical.centers.device)
        # Where a step changes the clock, all before it live at other moments: walk back to find them.
        known = [moments]
        for step in reversed(self.steps):
            known.append(step.source_times(known[-1]))
        known.reverse()
        plain = self.plain()
        state = self._moved(plain, known, appearance=appearance, fused=fused)
        carried = None
        for step, after in zip(self.steps, known[1:], strict=True):
            carried = step.carries(moments) or carried
            state = step.apply(state, after, Source(plain, known[0], carried))
        return state

    def _moved(self, plain: Field, known: list[Tensor], *, appearance: bool, fused: bool) -> Surfels:
        """What the warp makes of the surfels, which may have another shape at each moment."""
        found = [(step, step.shapes_at(after)) for step, after in zip(self.steps, known[1:], strict=True)]
        shaping = [(step, shares) for step, shares in found if shares is not None]
        if not any(bool(shares.any()) for _, shares in shaping):
            return _at_once(plain, known[0], appearance=appearance, fused=fused)
        moments = []
        for i in range(len(known[0])):
            field = plain
            for step, shares in shaping:
                field = step.shaped(field, float(shares[i])) if shares[i] else field
            state = _at_once(field, known[0][i : i + 1], appearance=appearance, fused=fused)
            for step, shares in shaping:
                state = step.lit(state, float(shares[i])) if shares[i] else state
            moments.append(state)
        if len(moments) == 1:
            return moments[0]
        return Surfels(**{name: _together([m.tensors()[name] for m in moments], name) for name in state.tensors()})


def _together(arrays: list[Tensor], name: str) -> Tensor:
    """Arrays of single moments as one; as it is where no time changes it."""
    if arrays[0].dim() > RANKS.get(name, 2):
        return torch.cat(arrays)
    return arrays[0] if all(array is arrays[0] for array in arrays) else torch.stack(arrays)


def _at_once(field: Field, times: Tensor, *, appearance: bool, fused: bool) -> Surfels:
    if fused:
        return pose(field, times, appearance=appearance)
    return field.appearance_at_times(times) if appearance else field.at_times(times)


def stepped(field: Field, *steps: Step) -> EditedField:
    """A field with more steps at its end."""
    if isinstance(field, EditedField):
        return replace(field, steps=(*field.steps, *steps))
    return EditedField(field.canonical, field.ids, field.warp, field.refined, steps)


def with_plain(field: Field, plain: Field) -> Field:
    """`plain` beneath the steps of `field`, for changes that keep the rows."""
    if isinstance(field, EditedField) and field.steps:
        return EditedField(plain.canonical, plain.ids, plain.warp, plain.refined, field.steps)
    return plain


def has_step(field: Field, *kinds: type[Step]) -> bool:
    """Whether a field has a step of one of these kinds."""
    return isinstance(field, EditedField) and any(isinstance(step, kinds) for step in field.steps)


def plain_of(field: Field) -> Field:
    """A field without its steps."""
    return field.plain() if isinstance(field, EditedField) else field


def first_moment(state: Surfels) -> Surfels:
    """Surfels at one moment without the axis of moments, whatever arrays have it."""
    return Surfels(
        **{name: tensor[0] if tensor.dim() > RANKS.get(name, 2) else tensor for name, tensor in state.tensors().items()}
    )
