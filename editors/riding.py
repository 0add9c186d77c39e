"""Layers that ride on others, kept riding while edits change what carries them.

After every edit `settle` looks at each carrier that the edit has changed, and hangs what rides on it in the same place
of what it is now.  Where the edit has taken the carrier away, it is refused.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon4d.core import InputError, quaternion
from recon4d.editors.edited_field import stepped
from recon4d.editors.ride_step import (
    RideStep,
    combined,
    frame_on,
    inverted,
    probe_of,
    rest_of,
    ride_of,
    with_ride,
)
from recon4d.editors.state import Masks, State
from recon4d.field import BonesWarp, Field
from recon4d.scene import Layer

_FOLLOWS = 0.9  # of the greatest weight on a bone: surfels that follow it


def ride_on(carrier: Layer, bone: int | None, point: Tensor, time: float) -> RideStep:
    """The step that fixes something to a bone, at the surfel that is nearest to a point [3] at a time (seconds)."""
    field = carrier.field
    row = _nearest(field, field.at(time).centers, bone, point)
    offset = frame_on(field, row, bone)
    return RideStep(carrier.name, bone, int(field.ids[row]), offset, field, probe_of(field, row, bone))


def put_on(field: Field, ride: RideStep) -> Field:
    """A field without steps that rides."""
    return stepped(field, ride)


def settle(state: State) -> State:
    """The state with all that rides hung on its carriers as they are now.

    Raises:
        InputError: a carrier is gone.
    """
    # What carries may itself ride: once more for each storey.
    for _ in state.layers:
        before = state
        for layer in state.layers:
            ride = ride_of(layer.field)
            if ride is not None:
                carrier = _carrier(state, layer, ride)
                if carrier.field is not ride.seen:
                    state = state.with_field(layer.name, with_ride(layer.field, _rehung(ride, carrier.field)))
        if state is before:
            break
    return state


def riders(state: State, name: str) -> list[tuple[Layer, RideStep]]:
    """Layers that ride on the layer of that name."""
    found = [(layer, ride_of(layer.field)) for layer in state.layers]
    return [(layer, ride) for layer, ride in found if ride is not None and ride.carrier == name]


def rides_along(state: State, name: str, masks: Masks) -> RideStep | None:
    """The ride of a layer whose carrier is itself selected where it hangs: what moves one takes the other along."""
    ride = ride_of(state.layer(name).field)
    if ride is None or ride.carrier not in masks:
        return None
    return ride if bool(masks[ride.carrier][_row(state.layer(ride.carrier).field, ride.anchor)].any()) else None


def rebound(state: State, name: str, mask: Tensor, shares: Tensor | None, copy_of: Tensor) -> State:
    """The state after surfels of a layer came to follow copies of their bones: what hangs there follows these too."""
    field = state.layer(name).field
    copied = torch.nonzero(copy_of != torch.arange(len(copy_of)))[:, 0]
    origins = origins_of(state, name, len(copy_of))
    state = replace(state, origins={**state.origins, name: torch.cat([origins, origins[copied]])})
    reach = mask.double()
    if shares is not None:
        reach[mask] = shares.double()
    for layer, ride in riders(state, name):
        rows = _row(field, ride.anchor)
        if ride.bone is not None and len(rows) and float(reach[rows[0]]) >= 0.5:
            changed = replace(ride, bone=int(copy_of[ride.bone]))
            state = state.with_field(layer.name, with_ride(layer.field, changed))
    return state


def renamed(state: State, old: str, new: str, rows: Tensor | None = None) -> State:
    """The state in which what rode on one layer rides on another; with `rows`, only what hangs on these of the old."""
    if old in state.origins:
        state = replace(state, origins={**state.origins, new: state.origins[old]})
    for layer, ride in riders(state, old):
        if rows is None or bool(torch.isin(_row(ride.seen, ride.anchor), rows).any()):
            state = state.with_field(layer.name, with_ride(layer.field, replace(ride, carrier=new)))
    return state


def origins_of(state: State, name: str, bones: int) -> Tensor:
    """[B] the bone that each of a layer's bones is a copy of, or itself."""
    known = state.origins.get(name)
    return known if known is not None and len(known) == bones else torch.arange(bones)


def other_bones(state: State, name: str) -> State:
    """The state after a layer got bones of another kind: what hangs on it follows those that its anchor does now."""
    for layer, ride in riders(state, name):
        state = state.with_field(layer.name, with_ride(layer.field, replace(ride, bone=None)))
    return state


def check_no_circle(state: State, layer: str, to: str, what: str) -> None:
    """InputError where `to` rides on `layer`, at however many storeys."""
    below: str | None = to
    while below is not None:
        ride = ride_of(state.layer(below).field)
        below = None if ride is None else ride.carrier
        if below == layer:
            got, fix = f"{to!r}, which rides on {layer!r}", "attach it to something else"
            raise InputError(what, expected="a layer that does not ride on this one", got=got, fix=fix)


def _carrier(state: State, layer: Layer, ride: RideStep) -> Layer:
    for other in state.layers:
        if other.name == ride.carrier:
            return other
    expected = f"an edit that leaves {ride.carrier!r}, on which {layer.name!r} rides"
    fix = f"let {layer.name!r} go with it, or attach it to another layer before"
    raise InputError("layers", expected=expected, got="one that takes it away", fix=fix)


def _rehung(ride: RideStep, carrier: Field) -> RideStep:
    """The ride on what the carrier is now."""
    rows, offset, old = _row(carrier, ride.anchor), ride.offset, ride.seen
    bone = ride.bone if isinstance(carrier.warp.underlying, BonesWarp) else None
    if len(rows):
        row = int(rows[0])
        if isinstance(carrier.warp.underlying, BonesWarp) and bone is None:
            bone = _strongest(carrier.warp.underlying, row)
    else:
        # Its surfel is gone: hang it, where it is, on the next one.
        before = int(_row(old, ride.anchor)[0])
        place = old.canonical.centers[before]
        row = _nearest(carrier, carrier.canonical.centers, bone, place)
        if isinstance(carrier.warp.underlying, BonesWarp) and bone is None:
            bone = _strongest(carrier.warp.underlying, row)
        turn = quaternion.normalize(old.canonical.rotations_wxyz[before].double())
        frame = combined((turn, place.double()), offset)  # in canonical space
        offset = combined(frame_on(carrier, row, bone), combined(inverted(rest_of(carrier, bone)), frame))
    return RideStep(ride.carrier, bone, int(carrier.ids[row]), offset, carrier, probe_of(carrier, row, bone))


def _nearest(carrier: Field, centers: Tensor, bone: int | None, point: Tensor) -> int:
    """Row of the surfel that follows a bone, or any for None, whose centre [N, 3] is nearest to a point [3]."""
    away = (centers.double() - point.double()).square().sum(-1)
    warp = carrier.warp.underlying
    if bone is not None and isinstance(warp, BonesWarp):
        weight = (warp.weights * (warp.weight_indices == bone)).sum(1)
        away = torch.where(weight >= _FOLLOWS * weight.max(), away, torch.inf)
    return int(away.argmin())


def _strongest(warp: BonesWarp, row: int) -> int:
    return int(warp.weight_indices[row, int(warp.weights[row].argmax())])


def _row(field: Field, anchor: int) -> Tensor:
    return torch.nonzero(field.ids == anchor)[:, 0]
