"""Edits of whole subjects and of shapes, as edits; the functions behind them have tests of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon4d.core import InputError
from recon4d.editors import (
    AssetFile,
    ByBones,
    Deform,
    EditStack,
    Freeze,
    HandlePose,
    InLayers,
    Insert,
    Opacity,
    PoseKey,
    RemoveObject,
    ReplaceSubject,
    Retarget,
    ScalePart,
    Span,
    Transform,
    evaluate,
    resolve,
)
from recon4d.editors.state import State
from recon4d.field import BonesWarp, Field
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, save
from tests.editors.scenes import CAMERAS, TIMES, animal, ball, floor, scene

SCENE = scene(500)
HEAD = ByBones("animal", (4, 8, 16))


def picture(shown: Scene, time: float, camera=CAMERAS[0]):
    with torch.no_grad():
        return rasterize(shown.appearance_at(time), camera, background=torch.ones(3))


def test_what_is_removed_is_filled_and_far_pixels_stay():
    # The ball stands in the middle of the floor, which was never seen below it.
    ground = floor(40)
    hole = (ground.canonical.centers[:, :2] - torch.tensor([0.0, -0.6])).norm(dim=-1) > 0.3
    still = ball(center=(0.0, -0.6, 0.25))
    layers = [Layer("ball", "object", still), Layer("floor", "background", ground.select(hole))]
    base = Scene(TIMES[:1], CAMERAS[:1], layers)
    view = evaluate(base, EditStack().add(RemoveObject(select=InLayers(("ball",)))))
    assert [layer.name for layer in view.layers] == ["floor"]
    (filled,) = view.layers
    assert torch.equal(filled.field.ids[: int(hole.sum())], layers[1].field.ids)
    assert bool((filled.field.ids[int(hole.sum()) :] >= 1 << 62).all())
    before, after = picture(base, 0.0), picture(view, 0.0)
    alone = picture(replace(base, layers=layers[:1]), 0.0).alpha
    near = torch.nn.functional.max_pool2d(alone.permute(2, 0, 1), 13, stride=1, padding=6)[0] > 0.01
    error = (before.color - after.color)[~near].square().mean()
    assert float(-10 * torch.log10(error.clamp_min(1e-12))) > 45
    assert int((~near).sum()) > 2000
    below = alone[..., 0] > 0.9
    assert float(after.alpha[..., 0][below].mean()) > 0.95
    stack = EditStack().add(RemoveObject(select=InLayers(("ball",))))
    with pytest.raises(InputError, match="no layer of kind background"):
        evaluate(replace(base, layers=layers[:1]), stack)


def test_a_part_is_enlarged_and_the_rest_does_not_move():
    view = evaluate(SCENE, EditStack().add(ScalePart(select=HEAD, factor=1.5)))
    old, new = SCENE.layers[0].field, view.layer("animal").field
    mask = resolve(HEAD, State.of(SCENE))["animal"]
    for moment in (0.0, 0.6):
        assert torch.equal(new.at(moment).centers[~mask], old.at(moment).centers[~mask])
        ratio = new.at(moment).centers[mask].std(0).norm() / old.at(moment).centers[mask].std(0).norm()
        assert 1.2 < float(ratio) <= 1.55


def test_handles_pull_and_pin():
    head = SCENE.layers[0].field.canonical.centers[resolve(HEAD, State.of(SCENE))["animal"]].mean(0)
    handles = (
        HandlePose(tuple(head.tolist()), 0.3, translate=(0.2, 0.0, 0.1)),
        HandlePose((-0.5, 0.0, 0.6), 0.25),
    )
    view = evaluate(SCENE, EditStack().add(Deform(select=InLayers(("animal",)), handles=handles)))
    moved = view.layer("animal").field.canonical.centers - SCENE.layers[0].field.canonical.centers
    at_head = (SCENE.layers[0].field.canonical.centers - head).norm(dim=-1) < 0.22
    pinned = (SCENE.layers[0].field.canonical.centers - torch.tensor([-0.5, 0.0, 0.6])).norm(dim=-1) < 0.15
    assert int(at_head.sum()) > 20
    assert float((moved[at_head] - torch.tensor([0.2, 0.0, 0.1])).norm(dim=-1).max()) < 0.08
    assert float(moved[pinned].norm(dim=-1).max()) < 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with another animal in it, as a scene."""
    path = tmp_path_factory.mktemp("assets")
    save(Scene(TIMES, CAMERAS, [Layer("other", "object", animal(200))]), path / "other.r4d")
    return path


def test_another_subject_takes_over_the_motion(folder: Path):
    stack = EditStack().add(ReplaceSubject(layer="animal", asset=AssetFile("other.r4d"), yaw=0.0))
    new = evaluate(SCENE, stack, folder=folder).layer("animal").field
    assert len(new) == 200
    assert bool((new.ids >= 1 << 62).all())
    assert isinstance(new.warp, BonesWarp)
    old = SCENE.layers[0].field
    for moment in (0.0, 0.5, 1.0):
        # The same shape in the same place follows the same bones.
        nearest = torch.cdist(new.at(moment).centers, old.at(moment).centers).amin(1)
        assert float(nearest.quantile(0.9)) < 0.15


def test_inserted_things_play_and_copy_motion(folder: Path):
    insert = Insert(asset=AssetFile("other.r4d"), layer="twin", translate=(0.0, 1.0, 0.0), scale=0.5)
    view = evaluate(SCENE, EditStack().add(insert), folder=folder)
    twin = view.layer("twin").field
    source = animal(200)
    for moment in (0.0, 0.7):
        expected = 0.5 * source.at(moment).centers + torch.tensor([0.0, 1.0, 0.0])
        torch.testing.assert_close(twin.at(moment).centers, expected, rtol=0, atol=2e-3)
    # A twin that stands still copies the motion of the first.
    still = animal(200)
    path = still.warp.path
    frozen = replace(
        path,
        rotations_wxyz=path.rotations_wxyz[:, :1].expand_as(path.rotations_wxyz).contiguous(),
        translations=path.translations[:, :1].expand_as(path.translations).contiguous(),
    )
    standing = Layer("still", "object", replace(still, warp=replace(still.warp, path=frozen)))
    base = replace(SCENE, layers=[*SCENE.layers, standing])
    moved = evaluate(base, EditStack().add(Retarget(layer="still", source="animal", yaw=0.0))).layer("still").field
    assert type(moved) is Field
    sway = moved.at(0.6).centers - moved.at(0.0).centers
    wanted = still.at(0.6).centers - still.at(0.0).centers
    assert float((sway - wanted).norm(dim=-1).median()) < 0.3 * float(wanted.norm(dim=-1).median())


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (Insert(asset=AssetFile("none.glb"), layer="x"), "asset.path"),
        (Insert(asset=AssetFile("other.r4d", sha256="0" * 64), layer="x"), "asset.path"),
        (Insert(asset=AssetFile("other.r4d"), layer="ball"), "layer"),
        (ReplaceSubject(layer="cat", asset=AssetFile("other.r4d")), "layer"),
        (Retarget(layer="animal", source="cat"), "source"),
        (RemoveObject(select=InLayers(("ball",)), background="sky"), "background"),
    ],
)
def test_what_cannot_be_made_is_refused_by_field(edit, what: str, folder: Path):
    with pytest.raises(InputError) as error:
        evaluate(SCENE, EditStack().add(edit), folder=folder)
    assert error.value.what == f"edit '{edit.kind}-1' ({edit.kind}): {what}"


def test_handles_that_touch_nothing_are_refused_by_number():
    head = SCENE.layers[0].field.canonical.centers[resolve(HEAD, State.of(SCENE))["animal"]].mean(0)
    good = HandlePose(tuple(head.tolist()), 0.3, translate=(0.2, 0.0, 0.1))
    away = HandlePose((50.0, 0.0, 0.0), 0.1, translate=(0.0, 0.0, 1.0))
    for handles, number in (((away,), 0), ((good, away), 1), ((good, replace(away, translate=(0, 0, 0))), 1)):
        with pytest.raises(InputError, match=rf"deform-1.*handles\[{number}\]: expected a ball that touches"):
            evaluate(SCENE, EditStack().add(Deform(select=InLayers(("animal",)), handles=handles)))
    # A handle on one of two layers leaves the other alone.
    view = evaluate(SCENE, EditStack().add(Deform(select=InLayers(("animal", "ball")), handles=(good,))))
    assert view.layer("ball").field is SCENE.layers[1].field
    assert view.layer("animal").field is not SCENE.layers[0].field


def test_a_replaced_subject_keeps_what_edits_do_to_it_over_time(folder: Path):
    swap = ReplaceSubject(layer="animal", asset=AssetFile("other.r4d"), yaw=0.0)
    over_time = (
        Freeze(time=0.5, layers=("animal",)),
        Transform(select=InLayers(("animal",)), frame="world", keys=(PoseKey(0.0), PoseKey(1.0, (1.0, 0.0, 0.0)))),
        Opacity(select=InLayers(("animal",)), factor=0.0, during=Span(0.4, 0.6)),
    )
    plain = evaluate(SCENE, EditStack().add(swap), folder=folder).layer("animal").field
    kept = evaluate(SCENE, EditStack().add(*over_time, swap), folder=folder).layer("animal").field
    keyed = Transform(select=InLayers(("animal",)), frame="world", keys=(PoseKey(0.0), PoseKey(1.0, (1.0, 0.0, 0.0))))
    after = evaluate(SCENE, EditStack().add(swap, over_time[0], keyed), folder=folder).layer("animal").field
    for moment in (0.0, 0.3, 1.0):
        torch.testing.assert_close(kept.at(moment).centers, after.at(moment).centers, rtol=0, atol=1e-5)
    assert float((kept.at(0.0).centers - plain.at(0.5).centers).abs().max()) < 1e-5
    assert float(kept.at(0.5).opacities.max()) == 0.0
    part = Transform(select=HEAD, keys=(PoseKey(0.0), PoseKey(1.0, (0.1, 0.0, 0.0))))
    with pytest.raises(InputError, match=r"replace-1.*layer: expected a layer without edits over time of its parts"):
        evaluate(SCENE, EditStack().add(part, swap), folder=folder)
