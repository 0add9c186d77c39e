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
        if fused:
            state = pose(plain, known[0], appearance=appearance)
        else:
            state = plain.appearance_at_times(known[0]) if appearance else plain.at_times(known[0])
        carried = None
        for step, after in zip(self.steps, known[1:], strict=True):
            carried = step.carries(moments) or carried
            state = step.apply(state, after, Source(plain, known[0], carried))
        return state


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
    ranks = {"opacities": 1, "sh": 3}
    return Surfels(
        **{name: tensor[0] if tensor.dim() > ranks.get(name, 2) else tensor for name, tensor in state.tensors().items()}
    )
