"""The step by which one layer rides on another, and what it becomes where the carrier's motion is plain.

What rides lives in a frame that the carrier takes along.  The frame hangs on an anchor: a surfel of the carrier, as if
it followed the chosen bone alone.  The anchor is moved by all that moves the carrier, so that the frame is too.
Knows no scene: who keeps the anchor up to date is `riding`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import InputError, Similarity, Surfels, quaternion
from recon4d.editors import shapes
from recon4d.editors.edited_field import EditedField, Source, Step, plain_of, with_plain
from recon4d.editors.motions import from_the_left
from recon4d.editors.posing import pose
from recon4d.editors.steps import ColorStep, FadeStep, MoveStep
from recon4d.field import BonesWarp, Field, IdentityWarp, ResidualWarp, RigidWarp

Rigid = tuple[Tensor, Tensor]
"""A rotation [..., 4] and a place [..., 3], float64."""


@dataclass(frozen=True, eq=False)
class RideStep(Step):
    """Takes everything along with a layer; whatever the clock of what rides, at the time that the scene shows.

    Attributes:
        carrier: name of the layer that carries.
        bone: of the carrier; None where it has none.
        anchor: id of the carrier's surfel that the frame hangs on.
        offset: anchor_from_frame.
        seen: the carrier, as it was when the step was made.
        probe: the anchor alone, following the bone alone, with the carrier's steps.
    """

    carrier: str
    bone: int | None
    anchor: int
    offset: Rigid
    seen: Field
    probe: Field

    def carries(self, shown: Float[Tensor, " t"]) -> Rigid:
        """See `Step.carries`."""
        if isinstance(self.probe, EditedField):
            state = self.probe.stepped(shown, appearance=False, fused=True)
        else:
            state = pose(self.probe, shown)
        anchor = quaternion.normalize(state.rotations_wxyz[:, 0].double()), state.centers[:, 0].double()
        return combined(anchor, (self.offset[0].to(anchor[0]), self.offset[1].to(anchor[0])))

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        """See `Step.apply`."""
        assert source.carried is not None
        turn, place = (x.to(state.centers) for x in source.carried)
        by_turn = from_the_left(turn).mT
        changes = {
            "centers": state.centers @ quaternion.to_matrix(turn).mT + place[:, None],
            "rotations_wxyz": state.rotations_wxyz @ by_turn,
        }
        if state.world_from_canonical_wxyz is not None:
            changes["world_from_canonical_wxyz"] = state.world_from_canonical_wxyz @ by_turn
        return state.replace(**changes)

    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        """Itself: it concerns all surfels."""
        return self

    def to(self, *args: object, **kwargs: object) -> RideStep:
        """See `Step.to`."""
        return replace(self, probe=self.probe.to(*args, **kwargs))


def ride_of(field: Field) -> RideStep | None:
    """The step by which a field rides on another; None where it does not."""
    steps = field.steps if isinstance(field, EditedField) else ()
    return next((step for step in steps if isinstance(step, RideStep)), None)


def with_ride(field: Field, ride: RideStep) -> Field:
    """A field that rides, with another step for it."""
    assert isinstance(field, EditedField)
    return replace(field, steps=tuple(ride if isinstance(step, RideStep) else step for step in field.steps))


def frame_on(carrier: Field, row: int, bone: int | None) -> Rigid:
    """anchor_from_frame: the rest pose of a bone, or canonical space, as seen from a surfel in its canonical state."""
    place, turn = carrier.canonical.centers[row].double(), carrier.canonical.rotations_wxyz[row].double()
    return combined(inverted((quaternion.normalize(turn), place)), rest_of(carrier, bone))


def rest_of(carrier: Field, bone: int | None) -> Rigid:
    """canonical_from_frame: the rest pose of a bone; canonical space itself for None."""
    warp = carrier.warp.underlying
    if bone is None or not isinstance(warp, BonesWarp):
        return torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    return quaternion.normalize(warp.rest_rotations_wxyz[bone].double()), warp.rest_translations[bone].double()


def probe_of(carrier: Field, row: int, bone: int | None) -> Field:
    """One surfel of a carrier alone, as if it followed one bone alone; with what moves it over time."""
    one = carrier.select(torch.tensor([row]))
    warp, bones = one.warp.underlying, carrier.warp.underlying
    if isinstance(warp, BonesWarp) and bone is not None:
        path = warp.path
        warp = replace(
            warp,
            rest_rotations_wxyz=warp.rest_rotations_wxyz[bone : bone + 1],
            rest_translations=warp.rest_translations[bone : bone + 1],
            path=replace(
                path,
                rotations_wxyz=path.rotations_wxyz[bone : bone + 1],
                translations=path.translations[bone : bone + 1],
            ),
            weight_indices=torch.zeros_like(warp.weight_indices),
            weights=warp.weights.new_tensor([[1.0, 0, 0, 0]]),
        )
    steps = tuple(
        replace(step, carrier=bones) if isinstance(step, MoveStep) and step.carrier is None else step
        for step in (one.steps if isinstance(one, EditedField) else ())
        if not isinstance(step, ColorStep | FadeStep)
    )
    plain = Field(one.canonical, one.ids, warp)
    return EditedField(plain.canonical, plain.ids, warp, None, steps) if steps else plain


def combined(first: Rigid, second: Rigid) -> Rigid:
    """The second motion, then the first."""
    return quaternion.multiply(first[0], second[0]), quaternion.rotate(first[0], second[1]) + first[1]


def inverted(motion: Rigid) -> Rigid:
    """The motion back."""
    back = quaternion.conjugate(motion[0])
    return back, -quaternion.rotate(back, motion[1])


def similarity_from(motion: Rigid) -> Similarity:
    """A rigid motion as a similarity."""
    return Similarity(torch.ones((), dtype=torch.float64), *motion)


_released: MutableMapping[Field, Field] = WeakKeyDictionary()


def released(field: Field) -> Field:
    """A field that rides on a plain carrier with the carrier's motion as its own: bones that exporters can follow.

    Where that cannot be, because the carrier is changed over time or the field has another clock, the field itself.
    """
    ride = ride_of(field)
    if ride is None:
        return field
    if field not in _released:
        _released[field] = _released_now(field, ride)
    return _released[field]


def _released_now(field: Field, ride: RideStep) -> Field:
    assert isinstance(field, EditedField)
    rest = tuple(step for step in field.steps if step is not ride)
    moves = any(isinstance(step, MoveStep) and step.frame != "world" for step in rest)
    known = isinstance(field.warp, IdentityWarp | RigidWarp | BonesWarp | ResidualWarp)
    if field.steps[0] is not ride or isinstance(ride.probe, EditedField) or moves or not known:
        return field
    if not all(isinstance(step, MoveStep | ColorStep | FadeStep) for step in rest):
        return field
    probe = ride.probe
    anchor = quaternion.normalize(probe.canonical.rotations_wxyz[0].double()), probe.canonical.centers[0].double()
    held, bone = combined(anchor, ride.offset), None if ride.bone is None else 0
    on_bone = similarity_from(combined(inverted(rest_of(probe, bone)), held))
    try:
        if isinstance(probe.warp, IdentityWarp):
            plain = shapes.place(plain_of(field), on_bone)
        elif isinstance(probe.warp, RigidWarp | BonesWarp):
            centers = ride.seen.canonical.centers
            size = float((centers.amax(0) - centers.amin(0)).norm())
            plain = shapes.attach_to_bone(
                plain_of(field), probe, shapes.ROOT if bone is None else bone, on_bone, size=size
            )
        else:
            return field
    except InputError:  # a motion on a motion that no spline can follow
        return field
    return with_plain(replace(field, steps=rest), plain)
