"""What is saved is what is loaded, to the bit."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from recon4d.core import Camera, InputError, SceneFormatError, Surfels
from recon4d.core.spline import SE3Spline
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp
from recon4d.scene import FORMAT_VERSION, Layer, Scene, content_hash, load, merge_surfels, save
from recon4d.scene.document import Node
from recon4d.scene.migrate import MIGRATIONS, migrate
from tests.scene.scenes import WARP_KINDS, bits, document_of, files_in, make_field, make_scene, rewrite_arrays, values

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("kind", WARP_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_warp(tmp_path, kind, dtype):
    scene = make_scene(kind, dtype=dtype)
    save(scene, tmp_path / "a.r4d")
    assert values(load(tmp_path / "a.r4d")) == values(scene)


@pytest.mark.parametrize("kind", WARP_KINDS)
@pytest.mark.parametrize("points", [6, 0])
def test_surfels_that_are_drawn_in_another_way(tmp_path, kind, points):
    scene = make_scene(kind, points=points, refined=True)
    save(scene, tmp_path / "a.r4d")
    assert values(load(tmp_path / "a.r4d")) == values(scene)
    plain = dataclasses.replace(scene.layers[0], field=dataclasses.replace(scene.layers[0].field, refined=None))
    save(dataclasses.replace(scene, layers=[plain, scene.layers[1]]), tmp_path / "a.r4d")
    assert load(tmp_path / "a.r4d").layers[0].field.refined is None


@pytest.mark.parametrize(("sh", "features"), [(1, None), (4, None), (9, None), (16, None), (None, 1), (None, 5)])
def test_every_color(tmp_path, sh, features):
    scene = make_scene(sh=sh, features=features)
    save(scene, tmp_path / "a.r4d")
    assert values(load(tmp_path / "a.r4d")) == values(scene)


@pytest.mark.parametrize("kind", WARP_KINDS)
def test_no_surfels_and_no_layers(tmp_path, kind):
    for scene in (make_scene(kind, points=0), dataclasses.replace(make_scene(), layers=[], metres_per_unit=None)):
        save(scene, tmp_path / "a.r4d")
        assert values(load(tmp_path / "a.r4d")) == values(scene)


def test_numbers_that_are_hard_to_write_down(tmp_path):
    scene = make_scene()
    tiny, field = 5e-324, scene.layers[0].field
    field.canonical.centers[0] = torch.tensor([-0.0, 1e-45, 3.4028234663852886e38])
    scene = dataclasses.replace(
        scene,
        frame_times=torch.tensor([-1e300, tiny, 0.1 + 0.2], dtype=torch.float64),
        metres_per_unit=tiny,
        provenance={"seed": 2**128 - 1, "tiny": tiny, "text": "\ud800 \x00 ß", "deep": {"": [[], {}, -0.0, True]}},
    )
    save(scene, tmp_path / "a.r4d")
    assert values(load(tmp_path / "a.r4d")) == values(scene)


def test_tensors_with_gradients_and_strides_are_saved_by_value(tmp_path):
    scene = make_scene()
    field = scene.layers[0].field
    strided = field.canonical.replace(centers=field.canonical.centers.T.contiguous().T.requires_grad_())
    camera = Camera(scene.cameras[0].K.requires_grad_(), scene.cameras[0].cam_from_world, 640, 480)
    layer = dataclasses.replace(scene.layers[0], field=dataclasses.replace(field, canonical=strided))
    learned = dataclasses.replace(scene, layers=[layer, scene.layers[1]], cameras=[camera, *scene.cameras[1:]])
    save(learned, tmp_path / "a.r4d")
    assert values(load(tmp_path / "a.r4d")) == values(scene)
    assert not load(tmp_path / "a.r4d").layers[0].field.canonical.centers.requires_grad


def test_the_safetensors_library_reads_our_files(tmp_path):
    scene = make_scene()
    save(scene, tmp_path / "a.r4d")
    field = scene.layers[0].field
    name = document_of(tmp_path / "a.r4d")["layers"][0]["arrays"]["file"]
    assert bits(load_file(tmp_path / "a.r4d" / name)) == bits(field.canonical.tensors() | {"ids": field.ids})


def test_we_read_the_safetensors_librarys_files(tmp_path):
    save(make_scene(), tmp_path / "a.r4d")
    for layer in document_of(tmp_path / "a.r4d")["layers"]:
        name = layer["arrays"]["file"]
        arrays = load_file(tmp_path / "a.r4d" / name)
        rewrite_arrays(tmp_path / "a.r4d", name, to_bytes(arrays, {"made by": "the library"}))
    assert values(load(tmp_path / "a.r4d")) == values(make_scene())


def test_saving_again_changes_nothing(tmp_path):
    save(make_scene(), tmp_path / "a.r4d")
    before = files_in(tmp_path / "a.r4d")
    save(load(tmp_path / "a.r4d"), tmp_path / "a.r4d")
    assert files_in(tmp_path / "a.r4d") == before
    save(make_scene(), tmp_path / "b.r4d")
    assert files_in(tmp_path / "b.r4d") == before


def test_replacing_sweeps_old_arrays_and_spares_other_files(tmp_path):
    folder = tmp_path / "a.r4d"
    save(make_scene(seed=1), folder)
    others = {"edits.json": b"{}", "report.html": b"<p>", "surfels-mine.safetensors": b"x", "notes.tmp": b""}
    for name, data in others.items():
        (folder / name).write_bytes(data)
    (folder / "warp-0123456789abcdef0123456789abcdef.safetensors").write_bytes(b"left by a killed save")
    (folder / ".r4d-0123456789abcdef.tmp").write_bytes(b"left by a killed save")
    old = set(files_in(folder)) - set(others)
    save(make_scene("rigid", seed=2), folder)
    found = files_in(folder)
    document = document_of(folder)
    named = {layer["arrays"]["file"] for layer in document["layers"]} | {
        document["layers"][0]["warp"]["arrays"]["file"]
    }
    assert set(found) == {"scene.json", *others} | named
    assert {name: found[name] for name in others} == others
    assert not (old - {"scene.json"}) & set(found)


def test_a_loaded_scene_outlives_its_files_and_does_not_change_them(tmp_path):
    folder = tmp_path / "a.r4d"
    save(make_scene(seed=1), folder)
    loaded = load(folder)
    save(make_scene(seed=2), folder)
    assert values(loaded) == values(make_scene(seed=1))
    second = load(folder)
    second.layers[0].field.canonical.centers.zero_()
    assert values(load(folder)) == values(make_scene(seed=2))


def test_layers_of_equal_arrays_share_a_file(tmp_path):
    scene = make_scene()
    twice = dataclasses.replace(scene, layers=[scene.layers[0], dataclasses.replace(scene.layers[0], name="twin")])
    save(twice, tmp_path / "a.r4d")
    assert len(files_in(tmp_path / "a.r4d")) == 3
    assert values(load(tmp_path / "a.r4d")) == values(twice)


def test_content_hash_is_of_what_is_shown(tmp_path):
    def hash_of(scene):
        save(scene, tmp_path / "h.r4d")
        return content_hash(tmp_path / "h.r4d")

    scene = make_scene()
    first = hash_of(scene)
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert hash_of(make_scene()) == first
    assert hash_of(dataclasses.replace(scene, provenance={"seed": 7})) == first
    assert hash_of(dataclasses.replace(scene, metres_per_unit=None)) != first
    assert hash_of(dataclasses.replace(scene, frame_times=scene.frame_times + 1)) != first
    field = scene.layers[0].field
    nudged = field.canonical.replace(opacities=torch.nextafter(field.canonical.opacities, torch.tensor(0.5)))
    layer = dataclasses.replace(scene.layers[0], field=dataclasses.replace(field, canonical=nudged))
    assert hash_of(dataclasses.replace(scene, layers=[layer, scene.layers[1]])) != first


def with_fields(scene, *fields):
    return dataclasses.replace(
        scene, layers=[dataclasses.replace(x, field=f) for x, f in zip(scene.layers, fields, strict=True)]
    )


def test_content_hash_covers_refined_surfels_and_residuals(tmp_path):
    def hash_of(field):
        save(with_fields(scene, field, scene.layers[1].field), tmp_path / "h.r4d")
        return content_hash(tmp_path / "h.r4d")

    scene = make_scene("residual linear", refined=True)
    field = scene.layers[0].field
    warp, refined = field.warp, field.refined
    changed = [
        field,
        dataclasses.replace(field, refined=None),
        dataclasses.replace(field, refined=Refined.like(field.canonical)),
        dataclasses.replace(field, refined=dataclasses.replace(refined, scales=refined.scales.flip(0))),
        dataclasses.replace(field, refined=dataclasses.replace(refined, rotations_wxyz=-refined.rotations_wxyz)),
        dataclasses.replace(field, warp=warp.base),
        dataclasses.replace(field, warp=dataclasses.replace(warp, start=0.0)),
        dataclasses.replace(field, warp=dataclasses.replace(warp, grid=-warp.grid)),
        dataclasses.replace(field, warp=dataclasses.replace(warp, high=warp.high + 1)),
        dataclasses.replace(field, warp=dataclasses.replace(warp, base=make_field("rigid").warp)),
    ]
    assert len({hash_of(one) for one in changed}) == len(changed)
    assert hash_of(field) == hash_of(make_scene("residual linear", refined=True).layers[0].field)


def test_content_hash_of_an_old_scene_is_what_its_own_version_said(tmp_path):
    said = "73dc1eab7f6b9d3b1390d8d58921f67b76b276b2daf9efa421d93db53722b1a0"
    assert content_hash(GOLDEN / "v1.r4d") == said
    save(load(GOLDEN / "v1.r4d"), tmp_path / "a.r4d")
    assert document_of(tmp_path / "a.r4d")["format_version"] == FORMAT_VERSION
    assert content_hash(tmp_path / "a.r4d") == said


@pytest.mark.parametrize("base", [False, True])
def test_content_hash_reads_the_files(tmp_path, base):
    save(make_scene("residual linear"), tmp_path / "a.r4d")
    warp = document_of(tmp_path / "a.r4d")["layers"][0]["warp"]
    name = (warp["base"] if base else warp)["arrays"]["file"]
    data = bytearray((tmp_path / "a.r4d" / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.r4d" / name).write_bytes(data)
    with pytest.raises(SceneFormatError, match=name):
        content_hash(tmp_path / "a.r4d")


def golden_scene(version):
    """Round numbers that any machine makes alike, with all that a version can say."""
    count = 2
    ramp = torch.arange(count * 12, dtype=torch.float32) / 8
    surfels = Surfels(
        centers=ramp[: count * 3].view(count, 3),
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]),
        scales=torch.full((count, 2), 0.25),
        opacities=torch.tensor([1.0, 0.5]),
        sh=ramp.view(count, 4, 3),
    )
    still = torch.tensor([[1.0, 0, 0, 0]] * 4)
    warp = BonesWarp(
        root=SE3Spline(still, torch.arange(12.0).view(4, 3), 0.0, 0.5),
        rest_rotations_wxyz=still[:1],
        rest_translations=torch.zeros(1, 3),
        path=SE3Spline(still[None], torch.zeros(1, 4, 3), 0.0, 0.5),
        weight_indices=torch.zeros(count, 4, dtype=torch.int64),
        weights=torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]),
    )
    camera = Camera(
        torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), torch.eye(4, dtype=torch.float32), 640, 480
    )
    refined = None
    if version >= 2:
        grid = torch.arange(4 * 8 * 3, dtype=torch.float32).view(4, 2, 2, 2, 3) / 64
        warp = ResidualWarp(warp, grid, torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1.0, 2.0, 3.0]), 0.0, 0.5)
        refined = Refined(surfels.rotations_wxyz.flip(0), torch.tensor([[0.125, 0.5], [0.25, 0.75]]))
    field = Field(surfels, torch.tensor([7, -1]), warp, refined)
    return Scene(torch.tensor([0.0, 0.5], dtype=torch.float64), [camera] * 2, [Layer("cat", "object", field)])


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_that_ever_was_still_reads(version):
    assert values(load(GOLDEN / f"v{version}.r4d")) == values(golden_scene(version))


def test_the_present_version_is_written_as_it_was_released(tmp_path):
    save(golden_scene(FORMAT_VERSION), tmp_path / "a.r4d")
    assert files_in(tmp_path / "a.r4d") == files_in(GOLDEN / f"v{FORMAT_VERSION}.r4d")


def test_there_is_a_step_from_every_past_version():
    assert set(MIGRATIONS) == set(range(1, FORMAT_VERSION))


def test_migration_runs_every_step_in_order():
    steps = {1: lambda d: d | {"a": 1}, 2: lambda d: d | {"a": d["a"] + 1}}
    document = Node("f", "", {"format": "recon4d-scene", "format_version": 1})
    assert migrate(document, migrations=steps, present=3).value == {
        "format": "recon4d-scene", "format_version": 3, "a": 2,
    }  # fmt: skip
    with pytest.raises(SceneFormatError, match=r"f: document: expected a scene document of version 2, .*'a'"):
        migrate(Node("f", "", document.value | {"format_version": 2}), migrations=steps, present=3)


def test_a_newer_version_says_to_upgrade(tmp_path):
    save(make_scene(), tmp_path / "a.r4d")
    path = tmp_path / "a.r4d" / "scene.json"
    path.write_text(json.dumps({"format": "recon4d-scene", "format_version": FORMAT_VERSION + 1, "new": "things"}))
    with pytest.raises(SceneFormatError) as caught:
        load(tmp_path / "a.r4d")
    assert str(caught.value) == (
        f"{path}: format_version: expected at most {FORMAT_VERSION}, got {FORMAT_VERSION + 1}. "
        "Fix: the scene was saved by a newer recon4d; upgrade this one to read it"
    )


def test_a_scene_at_a_time_is_its_layers_together():
    scene = make_scene()
    merged, parts = scene.at(0.4), [layer.field.at(0.4) for layer in scene.layers]
    assert len(merged) == 10
    for name in merged.tensors():
        assert torch.equal(getattr(merged, name)[:6], getattr(parts[0], name))
        assert torch.equal(getattr(merged, name)[6:], getattr(parts[1], name))


def test_how_a_scene_looks_at_a_time_is_how_its_layers_look():
    scene = make_scene(refined=True)
    looks, surface = scene.appearance_at(0.4), scene.at(0.4)
    parts = [layer.field.appearance_at(0.4) for layer in scene.layers]
    for name in looks.tensors():
        assert torch.equal(getattr(looks, name)[:6], getattr(parts[0], name))
        assert torch.equal(getattr(looks, name)[6:], getattr(parts[1], name))
        # Only layer 0 is refined, in turns and sizes.
        same = (getattr(looks, name) == getattr(surface, name)).view(10, -1).all(1)
        assert same[6:].all()
        assert same[:6].tolist() == [name not in ("rotations_wxyz", "scales")] * 6


def test_merging_fills_up_lower_degrees_and_missing_rotations():
    one, two = make_field(sh=1).at(0.0), make_field("identity", sh=9, points=2).canonical
    merged = merge_surfels([one, two])
    assert merged.sh.shape == (8, 9, 3)
    assert torch.equal(merged.sh[:6, :1], one.sh)
    assert not merged.sh[:6, 1:].any()
    assert torch.equal(merged.world_from_canonical_wxyz[6:], torch.tensor([[1.0, 0, 0, 0]] * 2))
    with pytest.raises(InputError, match="1 of them with sh"):
        merge_surfels([one, make_field("identity", sh=None, features=3).at(0.0)])


def test_layers_are_found_by_name():
    scene = make_scene()
    assert scene.layer("subject") is scene.layers[0]
    with pytest.raises(InputError, match="one of 'subject', 'Hintergrund, weiß', got 'cat'"):
        scene.layer("cat")
    assert isinstance(scene.layers[1].field.warp, IdentityWarp)
