"""What edits do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors import (
    All,
    Attach,
    BonePose,
    Brush,
    ByBones,
    Delete,
    Duplicate,
    EditedField,
    EditStack,
    Freeze,
    Grade,
    Hide,
    Ids,
    InLayers,
    Key,
    Lock,
    Loop,
    MergeLayers,
    NamePart,
    Opacity,
    Paint,
    Part,
    PoseBones,
    PoseKey,
    Recolor,
    RenameLayer,
    Retime,
    Reverse,
    Separate,
    Span,
    Speed,
    Stroke,
    Transform,
    Trim,
    View,
    evaluate,
    resolve,
)
from recon4d.editors.edits.mesh import MeshEdit
from recon4d.editors.selections.properties import colors_of
from recon4d.editors.state import State
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp
from recon4d.scene import Layer
from tests.editors.scenes import CAMERAS, ball, scene

SCENE = scene(600)
HEAD = ByBones("animal", (4, 8, 16))
MASK = resolve(HEAD, State.of(SCENE))["animal"]
BALL, ANIMAL = InLayers(("ball",)), InLayers(("animal",))


def after(*edits, base=SCENE):
    return evaluate(base, EditStack().add(*edits))


def field(view, name="animal"):
    return view.layer(name).field


# ------------------------------------------------------------------------------------------------------------- surfels


def test_deleting_all_of_a_layer_takes_the_layer():
    view = after(Delete(select=BALL), Delete(select=HEAD))
    assert [layer.name for layer in view.layers] == ["animal", "floor"]
    assert torch.equal(field(view).ids, SCENE.layers[0].field.ids[~MASK])


def test_copies_move_as_the_originals_and_have_ids_of_their_own():
    view = after(Duplicate(select=HEAD, id="copy"))
    copy = field(view)
    assert len(torch.unique(copy.ids)) == len(copy) == 600 + int(MASK.sum())
    assert bool((copy.ids[600:] >= 1 << 62).all())
    assert torch.equal(copy.at(0.4).centers[600:], copy.at(0.4).centers[:600][MASK])
    again = after(Duplicate(select=HEAD, id="copy"), base=replace(SCENE))
    assert torch.equal(field(again).ids, copy.ids)
    other = after(Duplicate(select=HEAD, id="other"))
    assert not bool(torch.isin(field(other).ids[600:], copy.ids).any())


def test_separated_and_merged_again_is_the_same_set():
    view = after(Separate(select=HEAD, layer="head"), MergeLayers(layers=("animal", "head"), into="animal"))
    merged = field(view)
    order = merged.ids.argsort()
    assert torch.equal(merged.ids[order], SCENE.layers[0].field.ids)
    torch.testing.assert_close(merged.at(0.6).centers[order], SCENE.layers[0].field.at(0.6).centers, rtol=0, atol=1e-6)


def test_merging_different_warps_keeps_every_motion():
    steps = Transform(select=BALL, frame="layer", keys=(PoseKey(0.0), PoseKey(1.0, rotate=(0, 0, 90))))
    view = after(steps, MergeLayers(layers=("ball", "animal", "floor"), into="all"))
    apart = after(steps)
    for moment in (0.0, 0.5, 0.9):
        parts = [field(apart, name).at(moment).centers for name in ("ball", "animal", "floor")]
        torch.testing.assert_close(field(view, "all").at(moment).centers, torch.cat(parts), rtol=0, atol=1e-6)
    assert len(torch.unique(field(view, "all").ids)) == 300 + 600 + 576


# ------------------------------------------------------------------------------------------------- names, flags, orders


def test_parts_follow_renamed_layers_and_survive_deletions():
    view = after(
        NamePart(part="head", select=HEAD),
        RenameLayer(layer="animal", to="dog"),
        Delete(select=Ids("dog", (0, 99))),
        Recolor(select=Part("head"), color=(1.0, 0.0, 0.0), mode="flat"),
    )
    dog = view.layer("dog")
    red = (colors_of(dog) - torch.tensor([1.0, 0, 0])).norm(dim=-1) < 1e-3
    kept = SCENE.layers[0].field.ids >= 100
    assert torch.equal(red, MASK[kept])


def test_hidden_layers_are_not_in_the_view_and_come_back():
    view = after(Hide(layers=("floor",)))
    assert [layer.name for layer in view.layers] == ["animal", "ball"]
    assert [layer.name for layer in view.hidden] == ["floor"]
    assert len(after(Hide(layers=("floor",)), Hide(layers=("floor",), hidden=False)).layers) == 3


def test_a_refused_edit_names_itself_the_field_and_what_is_valid():
    with pytest.raises(InputError) as error:
        after(
            Recolor(select=ANIMAL, color=(1, 0, 0)), Opacity(id="fade", name="fade out", select=BALL, during=Span(0, 9))
        )
    assert error.value.what == "edit 'fade' (opacity) 'fade out': during.end"
    assert error.value.expected == "seconds from 0 to 1, the times of the scene"


@pytest.mark.parametrize(
    "edit",
    [
        Trim(start=0.2, end=0.5),
        Speed(factor=0.5),
        Reverse(),
        Loop(start=0.2, end=0.5),
        Freeze(time=0.5),
        Retime(keys=(Key(0.0, 1.0), Key(1.0, 0.0))),
    ],
)
def test_time_of_locked_layers_is_left_alone_and_that_of_the_scene_takes_them_along(edit):
    for kind, state in ((Lock, "locked"), (Hide, "hidden")):
        with pytest.raises(InputError, match=rf"{edit.kind}-1.*layers\[1\]: expected a layer that is not {state}"):
            after(kind(layers=("ball",)), replace(edit, layers=("animal", "ball")))
    free, locked = (after(*before, edit) for before in ((), (Lock(layers=("ball",)),)))
    for time in free.frame_times.tolist():
        assert torch.equal(field(locked, "ball").at(time).centers, field(free, "ball").at(time).centers)


def test_meshes_of_locked_layers_do_not_come_back():
    with pytest.raises(InputError, match=r"mesh_edit-1.*layer: expected a layer that is not locked"):
        after(Lock(layers=("ball",)), MeshEdit(layer="ball", path="x.safetensors"))


HUGE = Transform(select=BALL, scale=1e6)
FAR = Transform(select=BALL, frame="world", translate=(1e6, 0.0, 0.0))


@pytest.mark.parametrize(
    "edits",
    [
        (HUGE, HUGE, HUGE),
        (replace(HUGE, scale=1e-6),) * 3,
        (replace(HUGE, keys=(PoseKey(0.0), PoseKey(1.0, scale=1e6))),) * 3,
        (Grade(select=BALL, gain=(100.0, 1.0, 1.0)),) * 6,
        (replace(HUGE, scale=(1e6, 1.0, 1.0)),) * 3,
    ],
)
def test_edits_that_are_sane_one_by_one_must_be_so_together(edits):
    with pytest.raises(InputError, match=rf"edit '{edits[0].kind}-{len(edits)}' .*layer 'ball': "):
        after(*edits)
    shown = field(after(edits[0], FAR), "ball").at(0.9)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in shown.tensors().values())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Transform(select=BALL, translate=(1e300, 0.0, 0.0)),
            r"translate\[0\]: expected a number from -1e",
        ),
        (lambda: Transform(select=BALL, scale=1e308), "scale: expected factors > 0, from 1e-06 to 1e\\+06"),
        (lambda: PoseKey(0.0, scale=(1.0, 1e7, 1.0)), "scale: expected factors"),
        (lambda: BonePose(4, translate=(0.0, 2e6, 0.0)), r"translate\[1\]: expected"),
    ],
)
def test_numbers_that_no_scene_has_are_refused_by_field(make, said: str):
    with pytest.raises(InputError, match=said):
        make()


# -------------------------------------------------------------------------------------------------------------- colours


def test_colours_at_all_times_and_in_a_range():
    flat = after(Recolor(select=BALL, color=(0.2, 0.4, 0.8), mode="flat", amount=0.5))
    expected = 0.5 * colors_of(SCENE.layer("ball")) + 0.5 * torch.tensor([0.2, 0.4, 0.8])
    torch.testing.assert_close(colors_of(flat.layer("ball")), expected, rtol=0, atol=1e-5)
    tinted = colors_of(after(Recolor(select=BALL, color=(0.2, 0.4, 0.8))).layer("ball"))
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    torch.testing.assert_close((tinted @ weights).mean(), torch.tensor([0.2, 0.4, 0.8]) @ weights, rtol=0.02, atol=0)
    timed = field(after(Recolor(select=BALL, color=(1, 0, 0), mode="flat", during=Span(0.4, 0.8, 0.1))), "ball")
    assert isinstance(timed, EditedField)
    before, within = timed.appearance_at(0.3).sh, timed.appearance_at(0.6).sh
    assert torch.equal(before, SCENE.layer("ball").field.canonical.sh)
    torch.testing.assert_close(0.5 + 0.28209479 * within[0, 0], torch.tensor([1.0, 0, 0]), rtol=0, atol=1e-5)


def test_later_colours_cover_earlier_ones_also_in_a_range():
    view = after(
        Recolor(select=BALL, color=(1, 0, 0), mode="flat", during=Span(0.2, 0.8)),
        Recolor(select=BALL, color=(0, 0, 1), mode="flat"),
    )
    for moment in (0.1, 0.5):
        color = 0.5 + 0.28209479 * field(view, "ball").appearance_at(moment).sh[0, 0]
        torch.testing.assert_close(color, torch.tensor([0.0, 0, 1]), rtol=0, atol=1e-5)


def test_grading_follows_what_depends_on_the_view():
    shiny = replace(SCENE, layers=[Layer("ball", "object", ball(degree=2))])
    view = after(Grade(select=All(), exposure=1.0), base=shiny)
    torch.testing.assert_close(field(view, "ball").canonical.sh[:, 1:], 2 * shiny.layers[0].field.canonical.sh[:, 1:])
    grey = after(Grade(select=All(), saturation=0.0), base=shiny)
    channels = colors_of(grey.layer("ball"))
    torch.testing.assert_close(channels[:, 0], channels[:, 2], rtol=0, atol=1e-5)
    turned = colors_of(after(Grade(select=BALL, hue=120.0), base=shiny).layer("ball"))
    torch.testing.assert_close(turned, (0.5 + 0.4 * 4 * shiny.layers[0].field.canonical.centers).roll(1, 1))


def test_paint_lands_where_the_brush_was_and_sticks():
    view_in = View.of(CAMERAS[0], 0.5)
    middle, _ = CAMERAS[0].project(SCENE.layer("ball").field.at(0.5).centers.mean(0, keepdim=True))
    stroke = Stroke(points=(tuple(middle[0].tolist()),), radius=4.0, color=(1.0, 0.0, 1.0), hardness=1.0)
    view = after(Paint(view=view_in, strokes=(stroke,)))
    painted = (colors_of(view.layer("ball")) - torch.tensor([1.0, 0, 1.0])).norm(dim=-1) < 0.05
    pixels, _ = CAMERAS[0].project(SCENE.layer("ball").field.at(0.5).centers[painted])
    assert 5 < int(painted.sum()) < 80
    assert bool(((pixels - middle).norm(dim=-1) < 6.0).all())
    with pytest.raises(InputError, match="strokes"):
        after(Paint(view=view_in, strokes=(replace(stroke, points=((-500.0, -500.0),)),)))
    with pytest.raises(InputError, match="strokes: expected strokes over surfels"):
        after(Delete(select=All()), Paint(view=view_in, strokes=(stroke,)))
    with pytest.raises(InputError, match="select"):
        after(Delete(select=All()), Recolor(select=Brush(view_in, points=stroke.points, radius=4.0), color=(1, 0, 0)))


def test_opacity_fades_over_time():
    shown = field(after(Opacity(select=BALL, keys=(Key(0.0, 1.0), Key(1.0, 0.0, "linear")))), "ball")
    torch.testing.assert_close(shown.at(0.25).opacities, torch.full((300,), 0.9 * 0.75), rtol=0, atol=1e-6)


# --------------------------------------------------------------------------------------------------------------- motion


def test_a_whole_layer_moves_in_the_world_and_keeps_its_bones():
    move = Transform(select=ANIMAL, frame="world", translate=(1, 0, 0), rotate=(0, 0, 90), scale=2, pivot=(0, 0, 0))
    moved, base = field(after(move)), SCENE.layers[0].field
    assert type(moved) is Field
    assert isinstance(moved.warp, BonesWarp)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for moment in (0.0, 0.55):
        expected = 2 * base.at(moment).centers @ turn.T + torch.tensor([1.0, 0, 0])
        torch.testing.assert_close(moved.at(moment).centers, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(moved.canonical.scales, 2 * base.canonical.scales)


def test_folded_and_stepped_moves_agree():
    numbers = {"translate": (0.1, 0.0, 0.05), "rotate": (10.0, 20.0, -30.0), "scale": 1.4}
    folded = field(after(Transform(select=HEAD, **numbers)))
    over_time = field(after(Transform(select=HEAD, during=Span(0.0, 1.0), **numbers)))
    assert type(folded) is Field
    assert isinstance(over_time, EditedField)
    for moment in (0.0, 0.35, 1.0):
        one, other = folded.appearance_at(moment), over_time.appearance_at(moment)
        torch.testing.assert_close(one.centers, other.centers, rtol=0, atol=2e-5)
        torch.testing.assert_close(one.scales, other.scales, rtol=1e-5, atol=0)
        same = (quaternion.normalize(one.rotations_wxyz) * quaternion.normalize(other.rotations_wxyz)).sum(-1).abs()
        assert float(same.min()) > 1 - 1e-5


@pytest.mark.parametrize("frame", ["layer", "world", "bone"])
def test_keys_are_reached_in_every_frame(frame):
    keys = (PoseKey(0.2), PoseKey(0.8, translate=(0.0, 0.0, 0.3)))
    moved = field(after(Transform(select=HEAD, frame=frame, bone=4 if frame == "bone" else None, keys=keys)))
    base = SCENE.layers[0].field
    for moment, length in ((0.1, 0.0), (0.5, 0.15), (0.9, 0.3)):
        away = moved.at(moment).centers[MASK] - base.at(moment).centers[MASK]
        torch.testing.assert_close(away.norm(dim=-1), torch.full((int(MASK.sum()),), length), rtol=0, atol=1e-5)
        if frame == "world":
            torch.testing.assert_close(away[0], torch.tensor([0, 0, length]), rtol=0, atol=1e-5)


def test_a_stretch_stretches_the_surfels_themselves():
    view = after(Transform(select=BALL, scale=(1.0, 1.0, 3.0)))
    base, stretched = SCENE.layer("ball").field.canonical, field(view, "ball").canonical

    def covariance(surfels):
        axes = quaternion.to_matrix(surfels.rotations_wxyz)[..., :2] * surfels.scales[:, None]
        return axes @ axes.mT

    scale = torch.diag(torch.tensor([1.0, 1.0, 3.0]))
    torch.testing.assert_close(covariance(stretched), scale @ covariance(base) @ scale, rtol=0, atol=1e-6)


def test_refined_surfels_are_drawn_moved_too():
    base = SCENE.layer("ball").field
    refined = Refined(quaternion.exp(torch.tensor([[0.3, 0.1, 0.2]])).repeat(300, 1), 0.5 * base.canonical.scales)
    drawn = replace(SCENE, layers=[Layer("ball", "object", replace(base, refined=refined))])
    numbers = {"rotate": (0.0, 40.0, 0.0), "scale": (1.0, 2.0, 1.0)}
    folded = field(after(Transform(select=BALL, **numbers), base=drawn), "ball").appearance_at(0.5)
    stepped = field(after(Transform(select=BALL, during=Span(0, 1), **numbers), base=drawn), "ball").appearance_at(0.5)
    torch.testing.assert_close(folded.scales, stepped.scales, rtol=1e-4, atol=1e-6)
    same = (quaternion.normalize(folded.rotations_wxyz) * quaternion.normalize(stepped.rotations_wxyz)).sum(-1).abs()
    assert float(same.min()) > 1 - 1e-4


def test_layers_with_displacements_move_by_steps():
    base = SCENE.layers[0].field
    grid = 0.05 * torch.randn(5, 3, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    warp = ResidualWarp(base.warp, grid, torch.tensor([-1.2, -0.5, -0.1]), torch.tensor([1.2, 0.5, 1.3]), 0.0, 0.5)
    displaced = replace(SCENE, layers=[Layer("animal", "object", replace(base, warp=warp))])
    moved = field(after(Transform(select=HEAD, scale=1.5), base=displaced))
    assert isinstance(moved, EditedField)
    for moment in (0.2, 0.8):
        sizes = [f.at(moment).centers[MASK].std(0).norm() for f in (moved, displaced.layers[0].field)]
        assert float(sizes[0] / sizes[1]) == pytest.approx(1.5, rel=1e-4)


def test_posed_bones_turn_what_follows_them():
    base = SCENE.layers[0].field
    turned = field(after(PoseBones(layer="animal", bones=(BonePose(4, rotate=(0, 0, 30), followers=(8, 16)),))))
    assert type(turned) is Field
    alone = (base.warp.weights * torch.isin(base.warp.weight_indices, torch.tensor([4, 8, 16]))).sum(-1) > 0.999
    others = (base.warp.weights * torch.isin(base.warp.weight_indices, torch.tensor([4, 8, 16]))).sum(-1) == 0
    rotations, places = base.warp.poses_at(torch.tensor([0.6], dtype=torch.float64))
    axis, origin = quaternion.rotate(rotations[0, 4], torch.tensor([0.0, 0, 1])), places[0, 4]
    expected = quaternion.rotate(quaternion.exp(axis * torch.pi / 6), base.at(0.6).centers[alone] - origin) + origin
    torch.testing.assert_close(turned.at(0.6).centers[alone], expected, rtol=0, atol=1e-4)
    assert torch.equal(turned.at(0.6).centers[others], base.at(0.6).centers[others])


def test_an_attached_thing_keeps_its_pose_in_the_bones_frame():
    box = ball(60, center=(0.0, 0.0, 0.0))
    hat = replace(box, warp=IdentityWarp(), canonical=box.canonical.replace(centers=box.canonical.centers + 1.0))
    base = replace(SCENE, layers=[*SCENE.layers, Layer("hat", "object", hat)])
    view = after(Attach(layer="hat", to="animal", bone=4, time=0.5), base=base)
    worn, carrier = field(view, "hat"), SCENE.layers[0].field.warp
    torch.testing.assert_close(worn.at(0.5).centers, hat.canonical.centers, rtol=0, atol=1e-5)
    moments = torch.linspace(0, 1, 9, dtype=torch.float64)
    rotations, places = (x[:, 4, None] for x in carrier.poses_at(moments))
    local = quaternion.rotate(quaternion.conjugate(rotations), worn.at_times(moments).centers - places)
    assert float((local - local[4]).abs().max()) < 1e-4


# ----------------------------------------------------------------------------------------------------------------- time


def moments_shown(view, name="ball"):
    """x of the ball, which rolls by 0.8 in the scene's second, as the moment that is shown; it wobbles by 0.003."""
    times = view.frame_times
    x = field(view, name).at_times(times).centers.mean(1)[:, 0]
    return times.tolist(), ((x - field(SCENE, name).at(0.0).centers[:, 0].mean()) / 0.8).tolist()


def test_time_of_the_whole_scene():
    times, shown = moments_shown(after(Speed(factor=0.5)))
    assert times[-1] == pytest.approx(2.0)
    assert shown == pytest.approx([t / 2 for t in times], abs=4e-3)
    times, shown = moments_shown(after(Trim(start=0.25, end=0.5)))
    assert times == pytest.approx([3 / 12, 4 / 12, 5 / 12, 6 / 12])
    assert shown == pytest.approx(times, abs=4e-3)
    times, shown = moments_shown(after(Reverse()))
    assert shown == pytest.approx([1 - t for t in times], abs=4e-3)
    view = after(Loop(start=0.25, end=0.5, count=3))
    times, shown = moments_shown(view)
    assert len(view.cameras) == len(times) == 9
    assert shown == pytest.approx([0.25 + t % 0.25 for t in times[:-1]] + [0.25 + times[-1] - 0.5], abs=4e-3)
    _, shown = moments_shown(after(Loop(start=0.25, end=0.5, mirror=True, count=1)))
    assert shown == pytest.approx([0.25, 4 / 12, 5 / 12, 0.5, 5 / 12, 4 / 12], abs=4e-3)


def test_time_of_layers_leaves_the_timeline():
    for edit, expected in (
        (Speed(factor=0.5, layers=("ball",)), [0.0, 0.25, 0.5]),
        (Freeze(time=0.25, layers=("ball",)), [0.25, 0.25, 0.25]),
        (Freeze(time=0.25, start=0.25, end=0.75, layers=("ball",)), [0.0, 0.25, 1.0]),
        (Retime(keys=(Key(0.0, 1.0), Key(1.0, 0.0, "linear")), layers=("ball",)), [1.0, 0.5, 0.0]),
        (Loop(start=0.0, end=0.75, layers=("ball",)), [0.0, 0.5, 0.25]),
    ):
        view = after(edit)
        assert torch.equal(view.frame_times, SCENE.frame_times)
        _, shown = moments_shown(view)
        assert [shown[0], shown[6], shown[12]] == pytest.approx(expected, abs=4e-3), edit.kind
        assert torch.equal(field(view, "animal").at(0.4).centers, field(SCENE, "animal").at(0.4).centers)
    trimmed = field(after(Trim(start=0.25, end=0.5, layers=("ball",))), "ball")
    assert float(trimmed.at(0.1).opacities.max()) == 0.0
    assert torch.equal(trimmed.at(0.3).opacities, field(SCENE, "ball").canonical.opacities)


def test_moves_after_a_change_of_the_clock_are_carried_by_what_is_shown():
    keyed = Transform(select=HEAD, keys=(PoseKey(0.0, scale=1.5),))
    view = after(Freeze(time=0.5, layers=("animal",)), keyed)
    still = after(keyed)
    torch.testing.assert_close(field(view).at(0.1).centers, field(still).at(0.5).centers, rtol=0, atol=1e-6)


def test_a_soft_border_bends_only_its_seam():
    edit = Transform(select=HEAD, scale=1.4, rotate=(0.0, 10.0, 20.0), pivot=(0.5, 0.0, 0.7))
    hard, soft = (field(after(replace(edit, soft=width))) for width in (0.0, 0.15))
    before = SCENE.layer("animal").field.canonical
    ways = torch.cdist(before.centers.double(), before.centers[~MASK].double()).amin(1)
    deep, seam = MASK & (ways > 0.15), MASK & (ways < 0.14)
    assert deep.sum() > 20
    assert seam.sum() > 5
    # Beyond the seam to the bit as without one; in it sizes between the old and the new.
    for name in ("rotations_wxyz", "scales"):
        assert torch.equal(getattr(soft.canonical, name)[deep], getattr(hard.canonical, name)[deep])
        assert not torch.equal(getattr(soft.canonical, name)[seam], getattr(hard.canonical, name)[seam])
    grown = (soft.canonical.scales / before.scales)[seam]
    assert 0.999 < grown.min() < grown.max() < 1.401
