"""Edits of time: trim, retime, speed, reverse, loop, freeze; of some layers, or of the whole scene and its timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon4d.core import Camera, InputError
from recon4d.editors.edited_field import EditedField, plain_of, stepped, with_plain
from recon4d.editors.edits.base import Edit, free_layer
from recon4d.editors.keys import Key, Span, check_finite, check_order, check_range
from recon4d.editors.ride_step import RideStep
from recon4d.editors.shapes import retime
from recon4d.editors.state import State
from recon4d.editors.steps import Amount, ClockStep, FadeStep
from recon4d.field import Field, IdentityWarp
from recon4d.scene import Layer

_JUMP = 1e-9  # seconds that a jump of a clock takes


@dataclass(frozen=True, kw_only=True)
class _Timed(Edit):
    """What edits of time share.

    Attributes:
        layers: names of layers whose time it is; the whole scene, with its timeline, where it is empty.
    """

    layers: tuple[str, ...] = ()

    def clocked(self, state: State, change: Callable[[Field], Field]) -> State:
        """With the clock of the chosen layers changed; of all, locked and hidden too, where it is the whole scene's."""
        names = self.named(state) or frozenset(layer.name for layer in state.layers)
        layers = tuple(
            Layer(x.name, x.kind, change(x.field)) if x.name in names and not _is_timeless(x.field) else x
            for x in state.layers
        )
        return replace(state, layers=layers)

    def named(self, state: State) -> frozenset[str]:
        """The layers that are named; InputError for one that is not there, or is locked or hidden and left alone."""
        for i, name in enumerate(self.layers):
            free_layer(state, name, f"layers[{i}]")
            if name in state.hidden:
                expected, fix = "a layer that is not hidden", "show it"
                raise InputError(f"layers[{i}]", expected=expected, got=repr(name), fix=fix)
        return frozenset(self.layers)

    def with_clock(self, state: State, keys: tuple[Key, ...], period: float | None = None) -> State:
        """With a step that shows other moments in the chosen layers."""
        return self.clocked(state, lambda field: stepped(field, ClockStep(keys, period)))


@dataclass(frozen=True, kw_only=True)
class Trim(_Timed, kind="trim"):
    """Keep a range of time: of the scene, whose other frames are left out, or of layers, which are not seen outside.

    Attributes:
        layers: names of layers whose time it is; the whole scene, with its timeline, where it is empty.
        start: seconds.
        end: seconds.
    """

    start: float
    end: float

    def check(self) -> None:
        """See `Edit.check`."""
        Span(self.start, self.end)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        state.check_times("start", [self.start])
        state.check_times("end", [self.end])
        if self.layers:
            amount = Amount(1.0, during=Span(self.start, self.end), rest=0.0)

            def shown(field: Field) -> Field:
                return stepped(field, FadeStep(torch.arange(len(field)), None, amount))

            names = self.named(state)
            layers = tuple(Layer(x.name, x.kind, shown(x.field)) if x.name in names else x for x in state.layers)
            return replace(state, layers=layers)
        times = state.scene.frame_times
        kept = torch.nonzero((times >= self.start - 1e-9) & (times <= self.end + 1e-9))[:, 0]
        if not len(kept):
            nearest = float(times[(times - self.start).abs().argmin()])
            expected = "a range with at least one frame"
            got = f"{self.start:g} to {self.end:g} s, the nearest frame at {nearest:g} s"
            raise InputError("end", expected=expected, got=got, fix="make the range longer")
        return with_timeline(state, times[kept], [state.scene.cameras[i] for i in kept.tolist()])


@dataclass(frozen=True, kw_only=True)
class Retime(_Timed, kind="retime"):
    """Show other moments, by keys: at each key's time its value is the moment of the scene that is shown.

    Attributes:
        layers: names of layers whose time it is; the whole scene where it is empty.  The timeline stays as it is.
        keys: times and the moments shown there; before the first and after the last the motion stands still.
    """

    keys: tuple[Key, ...]

    def check(self) -> None:
        """See `Edit.check`."""
        if not self.keys:
            raise InputError("keys", expected="at least one key", got="none", fix="give times and moments")
        check_order("keys", [key.time for key in self.keys])

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        for i, key in enumerate(self.keys):
            state.check_times(f"keys[{i}].time", [key.time])
            state.check_times(f"keys[{i}].value", [key.value])
        return self.with_clock(state, self.keys)


@dataclass(frozen=True, kw_only=True)
class Speed(_Timed, kind="speed"):
    """Make the motion slower or faster; of the whole scene, the timeline gets longer or shorter with it.

    Attributes:
        layers: names of layers whose time it is; the whole scene, with its timeline, where it is empty.
        factor: 0.5 is slow motion at half the speed.
    """

    factor: float

    def check(self) -> None:
        """See `Edit.check`."""
        check_range("factor", self.factor, 0.001, 1000.0)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        first, last = state.first, state.last
        end = first + (last - first) / self.factor
        keys = (Key(first, first, "linear"), Key(end, last, "linear"))

        def change(field: Field) -> Field:
            if isinstance(field, EditedField) and not all(isinstance(step, RideStep) for step in field.steps):
                return stepped(field, ClockStep(keys)) if last > first else field
            # A steady clock is one of the splines' own: what was bones stays bones.
            return with_plain(field, retime(plain_of(field), start=first - first / self.factor, speed=self.factor))

        changed = self.clocked(state, change)
        if self.layers:
            return changed
        times = state.scene.frame_times
        return with_timeline(changed, first + (times - first) / self.factor, state.scene.cameras)


@dataclass(frozen=True, kw_only=True)
class Reverse(_Timed, kind="reverse"):
    """Play backwards; of the whole scene, the cameras too.

    Attributes:
        layers: names of layers whose time it is; the whole scene, with its timeline, where it is empty.
    """

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        first, last = state.first, state.last
        if first == last:
            return state
        changed = self.with_clock(state, (Key(first, last, "linear"), Key(last, first, "linear")))
        if self.layers:
            return changed
        return with_timeline(changed, (first + last - state.scene.frame_times).flip(0), state.scene.cameras[::-1])


@dataclass(frozen=True, kw_only=True)
class Loop(_Timed, kind="loop"):
    """Repeat a range of time; of the whole scene, as often as `count` says, with a timeline of that length.

    Attributes:
        layers: names of layers whose time it is; the whole scene, with its timeline, where it is empty.
        start: seconds.
        end: seconds.
        mirror: forth and back in turn, so that there is no jump.
        count: how often, for the whole scene; layers repeat as long as the scene lasts.
    """

    start: float
    end: float
    mirror: bool = False
    count: int = 2

    def check(self) -> None:
        """See `Edit.check`."""
        Span(self.start, self.end)
        check_range("count", self.count, 1, 1000)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        state.check_times("start", [self.start])
        state.check_times("end", [self.end])
        length, first = self.end - self.start, state.first
        keys = [Key(first, self.start, "linear"), Key(first + length, self.end, "linear")]
        period = length
        if self.mirror:
            keys.append(Key(first + 2 * length, self.start, "linear"))
            period = 2 * length
        changed = self.with_clock(state, tuple(keys), period)
        if self.layers:
            return changed
        return with_timeline(changed, *self._repeated(state, period))

    def _repeated(self, state: State, period: float) -> tuple[Tensor, list[Camera]]:
        times = state.scene.frame_times
        inside = torch.nonzero((times >= self.start - 1e-9) & (times < self.end - 1e-9))[:, 0]
        if not len(inside):
            got = f"{self.start:g} to {self.end:g} s"
            raise InputError("end", expected="a range with at least one frame", got=got, fix="make it longer")
        within, rows = times[inside] - self.start, inside.tolist()
        if self.mirror:
            back = torch.nonzero((times > self.start + 1e-9) & (times <= self.end + 1e-9))[:, 0].flip(0)
            within = torch.cat([within, 2 * (self.end - self.start) - (times[back] - self.start)])
            rows += back.tolist()
        new = torch.cat([state.first + i * period + within for i in range(self.count)])
        return new, [state.scene.cameras[i] for i in rows] * self.count


@dataclass(frozen=True, kw_only=True)
class Freeze(_Timed, kind="freeze"):
    """Let the motion stand still at a moment.

    Attributes:
        layers: names of layers whose time it is; the whole scene where it is empty.  The timeline stays as it is.
        time: the moment that is shown, seconds.
        start: when it begins to stand still; always when left out.
        end: when it goes on, with what it would have shown by then; never when left out.
    """

    time: float
    start: float | None = None
    end: float | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        check_finite("time", self.time)
        if self.start is not None and self.end is not None:
            Span(self.start, self.end)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        state.check_times("time", [self.time])
        keys = []
        if self.start is not None:
            state.check_times("start", [self.start])
            if self.start > state.first:
                keys += [Key(state.first, state.first), Key(self.start, self.start, "linear")]
        begin = state.first if self.start is None else self.start
        keys.append(Key(begin + _JUMP if keys else begin, self.time, "linear"))
        if self.end is not None:
            state.check_times("end", [self.end])
            if self.end < state.last:
                keys += [Key(self.end - _JUMP, self.time, "linear"), Key(self.end, self.end, "linear")]
                keys.append(Key(state.last, state.last, "linear"))
        return self.with_clock(state, tuple(keys))


def with_timeline(state: State, times: Tensor, cameras: list[Camera]) -> State:
    """The state with other frames."""
    return replace(state, scene=replace(state.scene, frame_times=times, cameras=cameras))


def _is_timeless(field: Field) -> bool:
    return type(field) is Field and isinstance(field.warp, IdentityWarp)
