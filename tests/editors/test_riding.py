"""What is attached rides along, whatever happens to what carries it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recon4d.core import InputError, quaternion
from recon4d.editors import (
    All,
    Attach,
    BonePose,
    ByBones,
    Delete,
    Duplicate,
    Edit,
    EditStack,
    Freeze,
    Ids,
    InLayers,
    Key,
    Loop,
    MergeLayers,
    Opacity,
    PoseBones,
    PoseKey,
    Recolor,
    RenameLayer,
    Retime,
    Reverse,
    ScalePart,
    SceneView,
    Separate,
    Span,
    Speed,
    Transform,
    Trim,
    evaluate,
)
from recon4d.editors.evaluate import evaluate_state
from recon4d.editors.ride_step import ride_of
from recon4d.field import BonesWarp, Field, IdentityWarp
from recon4d.scene import Layer, Scene
from tests.editors.scenes import ball, scene
from tests.editors.test_laws import laws


def still(count: int, place: tuple[float, float, float], size: float) -> Field:
    """A small thing that stands still."""
    box = ball(count, center=(0.0, 0.0, 0.0))
    centers = size * box.canonical.centers + torch.tensor(place)
    return replace(box, warp=IdentityWarp(), canonical=box.canonical.replace(centers=centers))


PLAIN = scene(400)
LAYERS = [
    *PLAIN.layers,
    Layer("hat", "object", still(40, (0.8, 0.0, 1.2), 0.3)),
    Layer("feather", "object", still(20, (0.8, 0.0, 1.4), 0.1)),
]
BASE = Scene(PLAIN.frame_times, PLAIN.cameras, LAYERS)
CARRIER = PLAIN.layers[0].field
ALONE = CARRIER.ids[(CARRIER.warp.weights * (CARRIER.warp.weight_indices == 4)).sum(1) > 0.9999]
HEAD, ANIMAL, HAT = ByBones("animal", (4, 8, 16)), InLayers(("animal",)), InLayers(("hat",))
ON = Attach(layer="hat", to="animal", bone=4, time=0.0)
TURNING = (PoseKey(0.1), PoseKey(0.8, (0.3, 0.1, 0.2), (0.0, 30.0, 70.0)))

moved = st.builds(
    Transform,
    select=st.sampled_from([HEAD, ANIMAL, ByBones("animal", (1, 2)), InLayers(("animal", "floor"))]),
    translate=st.sampled_from([(0.0, 0.0, 0.3), (0.4, -0.2, 0.0)]),
    rotate=st.sampled_from([(0.0, 0.0, 0.0), (20.0, -40.0, 70.0)]),
    frame=st.sampled_from(["layer", "world"]),
    keys=st.sampled_from([(), TURNING]),
    during=st.sampled_from([None, Span(0.1, 0.7, 0.2)]),
)
carrier_edits: st.SearchStrategy[Edit] = st.one_of(
    moved,
    st.sampled_from(
        [
            Transform(select=HEAD, frame="bone", bone=4, rotate=(0.0, 30.0, 20.0)),
            Transform(select=HEAD, bone=1, rotate=(0.0, 30.0, 20.0), translate=(0.0, 0.1, 0.0)),
            Transform(select=All(), frame="world", translate=(1.0, 0.0, 0.0), rotate=(0.0, 0.0, 50.0)),
            Transform(select=All(), frame="world", keys=TURNING),
            PoseBones(layer="animal", bones=(BonePose(4, rotate=(0.0, 40.0, 20.0), followers=(8,)),)),
            PoseBones(layer="animal", bones=(BonePose(4, keys=TURNING),)),
            Reverse(),
            Reverse(layers=("animal",)),
            Reverse(layers=("hat",)),
            Speed(factor=0.5),
            Speed(factor=2.0, layers=("animal",)),
            Freeze(time=0.5, start=0.2, end=0.7, layers=("animal",)),
            Loop(start=0.25, end=0.5, layers=("animal", "hat")),
            Retime(keys=(Key(0.0, 0.8), Key(1.0, 0.1))),
            Trim(start=0.25, end=0.75),
            Delete(select=ByBones("animal", (1, 2))),
            Recolor(select=HEAD, color=(1.0, 0.0, 0.0), during=Span(0.25, 0.75)),
            Duplicate(select=HEAD),
        ]
    ),
)


class _TooShortError(Exception):
    """An example in which an edit made the scene too short for one after it."""


def seen(*edits: Edit) -> SceneView:
    try:
        return evaluate(replace(BASE), EditStack().add(*edits))
    except InputError as error:
        if error.expected.startswith("seconds from"):
            raise _TooShortError from error
        raise


def centers(view: SceneView, name: str, time: float) -> torch.Tensor:
    return view.layer(name).field.at(time).centers.double()


def moments(view: SceneView) -> list[float]:
    return torch.linspace(float(view.frame_times[0]), float(view.frame_times[-1]), 9, dtype=torch.float64).tolist()


def apart(view: SceneView, layer: str = "animal", rider: str = "hat") -> torch.Tensor:
    """[T, M, A] how far what rides is from the surfels that follow the bone alone."""
    field = view.layer(layer).field
    rows = torch.nonzero(torch.isin(field.ids, ALONE))[:, 0]
    assert len(rows) > 5
    return torch.stack([torch.cdist(centers(view, rider, t), centers(view, layer, t)[rows]) for t in moments(view)])


def spread(view: SceneView, layer: str = "animal", rider: str = "hat") -> float:
    distances = apart(view, layer, rider)
    return float((distances - distances[0]).abs().max())


@laws(25)
@given(st.lists(carrier_edits, max_size=2), st.lists(carrier_edits, max_size=3))
def test_what_is_attached_keeps_its_place_on_the_bone(before: list[Edit], after: list[Edit]):
    # A layer that is itself changed over time is refused, see below.
    before = [edit for edit in before if not (isinstance(edit, Transform) and edit.select == All())]
    with contextlib.suppress(_TooShortError):
        view = seen(*before, ON, *after)
        assert spread(view) < 1e-4


def test_where_it_stood_is_where_it_was_attached_also_among_edits_over_time():
    for before in (Freeze(time=0.5, start=0.2), Reverse(), Transform(select=ANIMAL, frame="world", keys=TURNING)):
        view = seen(before, replace(ON, time=0.6))
        torch.testing.assert_close(
            centers(view, "hat", 0.6), LAYERS[3].field.canonical.centers.double(), rtol=0, atol=1e-5
        )
        assert spread(view) < 1e-4


def test_it_turns_with_the_bone():
    view = seen(ON, Transform(select=ANIMAL, frame="world", keys=TURNING), Reverse(layers=("animal",)))
    field = view.layer("animal").field
    row = torch.nonzero(field.ids == ALONE[0])[0]
    turned = []
    for t in moments(view):
        head, hat = field.at(t).rotations_wxyz[row].double(), view.layer("hat").field.at(t).rotations_wxyz.double()
        turned.append(quaternion.to_matrix(quaternion.multiply(quaternion.conjugate(head), hat)))
    assert float((torch.stack(turned) - turned[0]).abs().max()) < 1e-4


def test_on_a_plain_carrier_it_has_bones_that_exporters_can_follow():
    for edits in (
        (),
        (Speed(factor=0.5),),
        (Transform(select=HEAD, translate=(0, 0, 0.2)),),
        (Recolor(select=HAT, color=(1, 0, 0)),),
    ):
        hat = seen(ON, *edits).layer("hat").field
        assert type(hat) is Field
        assert isinstance(hat.warp, BonesWarp)


def test_it_rises_with_the_surface_that_grows_below_it():
    before, grown = seen(ON), seen(ON, ScalePart(select=HEAD, factor=1.6))
    rides = ride_of(evaluate_state(replace(BASE), EditStack().add(ON)).layer("hat").field)
    assert rides is not None
    below = CARRIER.ids == rides.anchor
    for t in moments(before):
        ways = [torch.cdist(centers(view, "hat", t), centers(view, "animal", t)[below]) for view in (before, grown)]
        # The surfel itself follows other bones as well, by a few hundredths.
        torch.testing.assert_close(ways[1], ways[0], rtol=0, atol=1e-3)
    assert float((centers(grown, "hat", 0.0) - centers(before, "hat", 0.0)).norm(dim=1).min()) > 0.02


def test_it_rises_while_the_surface_grows():
    grow = ScalePart(select=HEAD, factor=1.6)
    over_time = seen(ON, replace(grow, keys=(Key(0.2, 0.0), Key(0.8, 1.0))))
    for time, like in ((0.1, seen(ON)), (0.9, seen(ON, grow))):
        torch.testing.assert_close(centers(over_time, "hat", time), centers(like, "hat", time), rtol=0, atol=1e-5)


def test_its_own_edits_come_on_top():
    moved_up = Transform(select=HAT, translate=(0.0, 0.0, 0.1))
    for own in (moved_up, replace(moved_up, frame="world"), replace(moved_up, keys=(PoseKey(0.0, (0.0, 0.0, 0.1)),))):
        view, plain = seen(ON, own, Reverse(layers=("animal",))), seen(ON, Reverse(layers=("animal",)))
        for t in moments(view):
            away = centers(view, "hat", t) - centers(plain, "hat", t)
            torch.testing.assert_close(away.norm(dim=1), torch.full((40,), 0.1, dtype=torch.float64), rtol=0, atol=1e-5)
        if own.frame == "layer":
            assert spread(view) < 1e-4
    faded = seen(ON, Opacity(select=HAT, factor=0.5, during=Span(0.2, 0.6)), Reverse(layers=("animal",)))
    assert spread(faded) < 1e-4
    assert float(faded.layer("hat").field.at(0.4).opacities.max()) == pytest.approx(0.45)


@pytest.mark.parametrize("keys", [(), (PoseKey(0.0, (0.3, 0.0, 0.0), (0.0, 0.0, 40.0), 2.0),)])
def test_what_moves_both_moves_it_once(keys: tuple[PoseKey, ...]):
    grow = Transform(
        select=All(), frame="world", translate=(0.3, 0, 0), rotate=(0, 0, 40.0), scale=2.0, pivot=(0, 0, 0), keys=keys
    )
    one, other = seen(ON), seen(ON, grow)
    turn = quaternion.exp(torch.tensor([0, 0, torch.pi * 40 / 180], dtype=torch.float64))
    for t in moments(one):
        for name in ("hat", "animal"):
            expected = 2 * quaternion.rotate(turn, centers(one, name, t)) + torch.tensor([0.3, 0, 0])
            torch.testing.assert_close(centers(other, name, t), expected, rtol=0, atol=2e-5)
    scales = [view.layer("hat").field.at(0.5).scales for view in (one, other)]
    torch.testing.assert_close(scales[1], 2 * scales[0], rtol=1e-5, atol=0)
    with pytest.raises(InputError, match="scale: expected one factor"):
        seen(ON, replace(grow, scale=(1.0, 2.0, 1.0), keys=()))


def test_what_rides_on_what_rides():
    chain = (ON, Attach(layer="feather", to="hat", time=0.3))
    for after in (
        Reverse(),
        PoseBones(layer="animal", bones=(BonePose(4, keys=TURNING),)),
        Freeze(time=0.2, layers=("animal",)),
    ):
        view = seen(*chain, after)
        assert spread(view) < 1e-4
        assert spread(view, rider="feather") < 1e-4
    with pytest.raises(InputError, match=r"attach-3.*to: expected a layer that does not ride on this one"):
        seen(*chain, Attach(layer="animal", to="feather"))


def test_it_can_be_attached_to_something_else():
    view = seen(ON, replace(ON, to="ball", bone=None, time=0.5), Reverse(layers=("ball",)))
    torch.testing.assert_close(centers(view, "hat", 0.5), centers(seen(ON), "hat", 0.5), rtol=0, atol=1e-5)
    distances = torch.stack([torch.cdist(centers(view, "hat", t), centers(view, "ball", t)) for t in moments(view)])
    assert float((distances - distances[0]).abs().max()) < 1e-4
    # On what stands still it stands still, until that moves.
    floor = Attach(layer="hat", to="floor")
    view = seen(floor, Transform(select=InLayers(("floor",)), frame="world", translate=(0, 0, 1)))
    torch.testing.assert_close(
        centers(view, "hat", 0.7),
        LAYERS[3].field.canonical.centers.double() + torch.tensor([0, 0, 1]),
        rtol=0,
        atol=1e-6,
    )


def test_the_surfel_that_it_hangs_on_may_go():
    rides = ride_of(evaluate_state(replace(BASE), EditStack().add(ON)).layer("hat").field)
    assert rides is not None
    gone = Delete(select=Ids("animal", (rides.anchor, rides.anchor)))
    for after in (Reverse(layers=("animal",)), Transform(select=HEAD, keys=TURNING)):
        view, reference = seen(ON, gone, after), seen(ON, after)
        assert len(view.layer("animal").field) == 399
        for t in moments(view):
            torch.testing.assert_close(centers(view, "hat", t), centers(reference, "hat", t), rtol=0, atol=1e-3)
        assert spread(view) < 1e-4


def test_layers_that_are_renamed_parted_and_merged():
    renamed = seen(ON, RenameLayer(layer="animal", to="dog"), Reverse(layers=("dog",)))
    assert spread(renamed, "dog") < 1e-4
    keyed = Transform(select=InLayers(("head",)), frame="world", keys=TURNING)
    assert spread(seen(ON, Separate(select=HEAD, layer="head"), keyed), "head") < 1e-4
    merged = seen(ON, MergeLayers(layers=("animal", "hat")), Reverse(layers=("animal",)))
    both = seen(ON, Reverse(layers=("animal",)))
    for t in moments(both):
        expected = torch.cat([centers(both, "animal", t), centers(both, "hat", t)])
        torch.testing.assert_close(centers(merged, "animal", t), expected, rtol=0, atol=1e-5)
    twice = seen(ON, Duplicate(select=HAT, layer="hat 2"), Reverse(layers=("animal",)))
    assert spread(twice, rider="hat 2") < 1e-4


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([Delete(select=ANIMAL)], "edit 'delete-1' (delete): layers: expected an edit that leaves 'animal'"),
        ([MergeLayers(layers=("animal", "ball"))], "edit 'merge-1' (merge): layers: expected layers on which no other"),
        ([Reverse(layers=("animal",)), MergeLayers(layers=("hat", "ball"))], "layers: expected layers that move by"),
        ([ON], None),
    ],
)
def test_what_cannot_be_is_refused_by_name(edits: list[Edit], said: str | None):
    first = ON if said else Opacity(select=HAT, during=Span(0.2, 0.4))
    with pytest.raises(InputError) as error:
        seen(first, *edits)
    assert (said or "layer: expected a layer without edits over time") in str(error.value)
