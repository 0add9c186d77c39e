"""Shapes that come and go: `scale_part` and `deform` with keys or a range."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors import (
    ByBones,
    Deform,
    Edit,
    EditStack,
    Freeze,
    HandlePose,
    InLayers,
    Key,
    MergeLayers,
    PoseKey,
    Reverse,
    ScalePart,
    SceneView,
    Separate,
    Span,
    Transform,
    evaluate,
    resolve,
)
from recon4d.editors.document import stack_to_bytes
from recon4d.editors.state import State
from recon4d.field import Field, Refined
from recon4d.scene import Layer
from tests.editors.scenes import ball, scene

BASE = scene(400)
HEAD = ByBones("animal", (4, 8, 16))
MASK = resolve(HEAD, State.of(BASE))["animal"]
PLACE = tuple(BASE.layers[0].field.canonical.centers[MASK].mean(0).tolist())
PULL = Deform(
    select=InLayers(("animal",)),
    handles=(HandlePose(PLACE, 0.3, (0.2, 0.0, 0.1), (0.0, 30.0, 0.0)), HandlePose((-0.5, 0.0, 0.6), 0.25)),
)
GROW = ScalePart(select=HEAD, factor=2.0)
KEYS = (Key(0.25, 0.0), Key(0.75, 1.0, "linear"))


def seen(*edits: Edit) -> SceneView:
    return evaluate(replace(BASE), EditStack().add(*edits))


def animal(*edits: Edit) -> Field:
    return seen(*edits).layer("animal").field


@pytest.mark.parametrize("edit", [GROW, PULL, replace(GROW, factor=(1.0, 2.0, 0.5))])
def test_a_shape_comes_by_its_keys(edit: ScalePart | Deform):
    base, always, over_time = BASE.layers[0].field, animal(edit), animal(replace(edit, keys=KEYS))
    assert type(always) is Field
    for name, tensor in base.at(0.2).tensors().items():
        assert torch.equal(over_time.at(0.2).tensors()[name], tensor), name
    for moment, share in ((0.2, 0.0), (0.5, 0.5), (0.6, 0.7), (0.9, 1.0)):
        old, new, shown = base.at(moment), always.at(moment), over_time.at(moment)
        torch.testing.assert_close(shown.centers, torch.lerp(old.centers, new.centers, share), rtol=0, atol=2e-6)
        torch.testing.assert_close(shown.scales, torch.lerp(old.scales, new.scales, share), rtol=1e-5, atol=1e-7)
    ended = [quaternion.normalize(field.at(0.9).rotations_wxyz) for field in (always, over_time)]
    assert float((ended[0] * ended[1]).sum(-1).abs().min()) > 1 - 1e-5
    moved = animal(replace(edit, during=Span(0.3, 0.6)))
    assert torch.equal(moved.at(0.7).centers, base.at(0.7).centers)
    torch.testing.assert_close(moved.at(0.5).centers, always.at(0.5).centers, rtol=0, atol=2e-6)


def test_what_is_not_selected_stays_to_the_bit_and_moments_are_the_same_alone_and_together():
    field, base = animal(replace(GROW, keys=KEYS)), BASE.layers[0].field
    times = [0.1, 0.4, 0.4, 0.8]
    together = field.at_times(times)
    for i, time in enumerate(times):
        alone = field.at(time)
        assert torch.equal(alone.centers[~MASK], base.at(time).centers[~MASK])
        assert torch.equal(together.centers[i], alone.centers)
        assert torch.equal(together.scales[i], alone.scales)
    view = seen(replace(GROW, keys=KEYS))
    torch.testing.assert_close(view.at(0.4).centers[:400], field.at(0.4).centers, rtol=0, atol=1e-6)


def test_shapes_go_on_below_other_edits_over_time_and_after_a_changed_clock():
    grown = replace(GROW, keys=KEYS)
    keyed = Transform(select=InLayers(("animal",)), frame="world", keys=(PoseKey(0.0), PoseKey(1.0, (0.5, 0, 0))))
    for time in (0.3, 0.6):
        torch.testing.assert_close(
            animal(grown, keyed).at(time).centers, animal(keyed, grown).at(time).centers, rtol=0, atol=2e-6
        )
        backwards = animal(grown, Reverse(layers=("animal",)))
        torch.testing.assert_close(backwards.at(time).centers, animal(grown).at(1 - time).centers, rtol=0, atol=1e-6)
        frozen = animal(Freeze(time=0.1, layers=("animal",)), grown)
        still = animal(GROW, Freeze(time=0.1, layers=("animal",)))
        torch.testing.assert_close(frozen.at(0.9).centers, still.at(0.9).centers, rtol=0, atol=2e-6)
    # A move after it moves what has grown.
    turned = animal(grown, Transform(select=InLayers(("animal",)), frame="world", rotate=(0, 0, 90.0), pivot=(0, 0, 0)))
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(turned.at(0.6).centers, animal(grown).at(0.6).centers @ quarter.T, rtol=0, atol=1e-5)


def test_parts_taken_apart_and_put_together_keep_their_shapes():
    grown = replace(GROW, keys=KEYS)
    expected = animal(grown).at(0.6).centers
    view = seen(grown, Separate(select=HEAD, layer="head"), MergeLayers(layers=("ball", "head")))
    torch.testing.assert_close(view.layer("ball").field.at(0.6).centers[300:], expected[MASK], rtol=0, atol=1e-6)
    torch.testing.assert_close(view.layer("animal").field.at(0.6).centers, expected[~MASK], rtol=0, atol=1e-6)
    double = animal(grown).to(torch.float64).at(0.6).centers
    torch.testing.assert_close(double.float(), expected, rtol=0, atol=1e-5)


def test_what_is_drawn_takes_its_shape_too():
    plain = ball(degree=2)
    refined = Refined(quaternion.exp(torch.tensor([[0.3, 0.1, 0.2]])).repeat(300, 1), 0.5 * plain.canonical.scales)
    base = replace(BASE, layers=[Layer("ball", "object", replace(plain, refined=refined))])
    stretch = ScalePart(select=InLayers(("ball",)), factor=(1.0, 1.0, 3.0))
    always, over_time = (
        evaluate(base, EditStack().add(edit)).layer("ball").field.appearance_at(0.9)
        for edit in (stretch, replace(stretch, keys=KEYS))
    )
    torch.testing.assert_close(over_time.scales, always.scales, rtol=1e-4, atol=1e-6)
    turns = [quaternion.normalize(shown.rotations_wxyz) for shown in (always, over_time)]
    assert float((turns[0] * turns[1]).sum(-1).abs().min()) > 1 - 1e-5


def test_old_scripts_are_as_they_were_and_wrong_keys_are_refused():
    assert b"keys" not in stack_to_bytes(EditStack().add(GROW, PULL))
    assert b"during" not in stack_to_bytes(EditStack().add(GROW, PULL))
    for make, said in (
        (lambda: replace(GROW, keys=(Key(0.0, 1.5),)), r"keys\[0\].value: expected a number from 0 to 1"),
        (lambda: replace(PULL, keys=(Key(1.0, 1.0), Key(0.5, 0.0))), r"keys\[1\].time: expected keys in order"),
        (
            lambda: seen(replace(GROW, keys=(Key(7.0, 1.0),))),
            r"scale_part-1.*keys\[0\].time: expected seconds from 0 to 1",
        ),
        (lambda: seen(replace(PULL, during=Span(0.5, 7.0))), r"deform-1.*during.end: expected seconds from 0 to 1"),
    ):
        with pytest.raises(InputError, match=said):
            make()
