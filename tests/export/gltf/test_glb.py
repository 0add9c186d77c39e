"""Whole .glb files: other programs see what the scene shows, and the rules of skins, samplers and colours hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recon4d.core.srgb import linear_from_display
from recon4d.export.formats import export_scene
from recon4d.export.gltf.exporter import glb_of
from recon4d.export.gltf.space import Space
from recon4d.export.mesh.layers import LayerMeshes, mesh_layers
from recon4d.export.request import ExportRequest
from recon4d.field import Field, ResidualWarp
from recon4d.scene import Layer, Scene
from tests.export.clients import gltf_issues
from tests.export.gltf.files import Glb, positions_in_three
from tests.export.scenes import TIMES, blob, layered_scene, object_scene, ring, two_bones

SMALL = {"faces": 600, "texture": 64}


def _request(path, **changes) -> ExportRequest:
    return ExportRequest(path, **(SMALL | changes))


def swaying_scene() -> Scene:
    """The bending blob under a displacement that its two bones cannot make: it swells in the middle of the clip."""
    surfels = blob(400, 0.7, (0.8, 0.3, 0.1))
    low, high = torch.full((3,), -1.0), torch.full((3,), 1.0)
    axes = torch.linspace(-1, 1, 3)
    nodes = torch.stack(torch.meshgrid(axes, axes, axes, indexing="ij"), -1)
    swell = torch.tensor([0, 0, 0.0, 0.25, 0.0, 0, 0])
    warp = ResidualWarp(two_bones(surfels), swell[:, None, None, None, None] * nodes, low, high, 0.0, 0.25)
    return Scene(TIMES, ring(), [Layer("blob", "object", Field(surfels, torch.arange(len(surfels)), warp))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("glb")


@pytest.fixture(scope="module")
def layered(folder) -> tuple[Scene, LayerMeshes, object]:
    """A skinned blob, a rigid ball and a wall."""
    scene = layered_scene()
    made = mesh_layers(scene, _request(folder / "layered.glb"))
    content, _ = glb_of(scene, made, "layered")
    path = folder / "layered.glb"
    path.write_bytes(content)
    return scene, made, path


@pytest.fixture(scope="module")
def flip_book(folder) -> tuple[Scene, LayerMeshes, object]:
    scene = swaying_scene()
    made = mesh_layers(scene, _request(folder / "flip.glb", morph=True, texture="vertex", fps=32.0))
    content, _ = glb_of(scene, made, "flip")
    path = folder / "flip.glb"
    path.write_bytes(content)
    return scene, made, path


def test_the_validator_finds_nothing_wrong(layered, flip_book):
    for _, _, path in (layered, flip_book):
        issues = [issue for issue in gltf_issues(path) if issue["severity"] < 2]
        assert issues == []


def _three_error(scene: Scene, made: LayerMeshes, path) -> float:
    """Largest distance between three.js's vertices and ours, as a share of the layer's size."""
    glb, space = Glb(path), Space.of(scene)
    # Not the last one: there three.js begins anew.
    moments = [0, 3, len(made.times) - 2]
    seconds = [made.times[k] - made.times[0] for k in moments]
    told = positions_in_three(path, seconds)
    worst = 0.0
    for layer in made.layers:
        node = glb.node(layer.name)
        for moment, second in zip(moments, seconds, strict=True):
            ours = space.points(layer.positions[moment])[layer.cut.origin]
            worst = max(worst, float(np.abs(told[second][node] - ours).max()) / layer.size)
    return worst


def test_three_has_skinned_and_rigid_vertices_where_we_have_them(layered):
    # Observed 2e-7: float32.
    assert _three_error(*layered) < 1e-5


def test_three_plays_the_flip_book(flip_book):
    scene, made, path = flip_book
    assert made.layers[0].motion == "shapes"
    # Between kept shapes a tenth of a percent may be missed.
    assert _three_error(scene, made, path) < 1.5e-3


def test_the_error_of_a_flip_book_is_that_of_what_is_played(flip_book):
    scene, made, path = flip_book
    glb, layer, space = Glb(path), made.layers[0], Space.of(scene)
    (channel,) = [c for c in glb.document["animations"][0]["channels"] if c["target"]["path"] == "weights"]
    seconds = glb.array(glb.document["animations"][0]["samplers"][channel["sampler"]]["input"])[:, 0]
    (primitive,) = glb.document["meshes"][0]["primitives"]
    base = glb.array(primitive["attributes"]["POSITION"])
    shapes = [base, *(base + glb.array(target["POSITION"]) for target in primitive["targets"])]
    assert len(shapes) < len(made.times)
    moments = sorted([*made.times, *((np.array(made.times[1:]) + made.times[:-1]) / 2).tolist()])
    truth = space.points(layer.truth(moments).reshape(-1, 3)).reshape(len(moments), -1, 3)[:, layer.cut.origin]
    away = []
    for moment, true in zip(moments, truth, strict=True):
        place = min(int(np.searchsorted(seconds, moment - made.times[0], side="right")), len(seconds) - 1)
        share = (moment - made.times[0] - seconds[place - 1]) / (seconds[place] - seconds[place - 1])
        shown = (1 - share) * shapes[place - 1] + share * shapes[place]
        away.append(np.linalg.norm(shown - true, axis=-1) / (space.scale * layer.size))
    told = glb.document["meshes"][0]["extras"]
    assert told["vertex_error_max"] == pytest.approx(np.max(away), rel=1e-2)
    assert told["vertex_error_rms"] == pytest.approx(np.sqrt(np.mean(np.square(away))), rel=1e-2)
    assert told["vertex_error_max"] > 1e-5


def test_at_most_two_shapes_live_at_any_time(flip_book):
    _, _, path = flip_book
    glb = Glb(path)
    (channel,) = [c for c in glb.document["animations"][0]["channels"] if c["target"]["path"] == "weights"]
    sampler = glb.document["animations"][0]["samplers"][channel["sampler"]]
    (primitive,) = glb.document["meshes"][0]["primitives"]
    shapes = len(primitive["targets"])
    weights = glb.array(sampler["output"]).reshape(-1, shapes)
    assert len(weights) == shapes + 1
    np.testing.assert_array_equal(weights, np.eye(shapes + 1, dtype=np.float32)[:, 1:])
    assert all(set(target) == {"POSITION"} for target in primitive["targets"])


def test_skins_keep_the_rules(layered):
    _, made, path = layered
    glb, document = Glb(path), Glb(path).document
    layer = made.layers[0]
    assert layer.motion == "bones"
    mesh_node, root = glb.node("blob"), glb.node("blob root")
    top = document["scenes"][0]["nodes"]
    assert mesh_node in top
    assert root in top
    skin = document["skins"][document["nodes"][mesh_node]["skin"]]
    assert skin["skeleton"] == root
    assert set(skin["joints"]) == {root, *document["nodes"][root]["children"]}
    attributes = document["meshes"][document["nodes"][mesh_node]["mesh"]]["primitives"][0]["attributes"]
    assert not {"JOINTS_1", "WEIGHTS_1"} & set(attributes)
    joints, weights = glb.array(attributes["JOINTS_0"]), glb.array(attributes["WEIGHTS_0"])
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(1, dtype=np.float64), 1, atol=2e-7)
    assert (weights >= 0).all()
    assert (joints[weights == 0] == 0).all()
    # At rest the joints undo their inverse bind matrices: the mesh stands in its canonical state.
    inverse = glb.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    for joint, matrix in zip(skin["joints"], inverse, strict=True):
        node = document["nodes"][joint]
        if joint != root:
            place = np.array([*node["translation"], 1.0])
            np.testing.assert_allclose(matrix @ place, [0, 0, 0, 1], atol=1e-6)


def test_samplers_run_strictly_forward_and_quaternions_do_not_jump(layered, flip_book):
    for _, made, path in (layered, flip_book):
        glb = Glb(path)
        for animation in glb.document["animations"]:
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times = glb.array(sampler["input"])[:, 0]
                accessor = glb.document["accessors"][sampler["input"]]
                assert (np.diff(times) > 0).all()
                assert times[0] == 0
                assert accessor["min"] == [float(times[0])]
                assert accessor["max"] == [float(times[-1])]
                assert float(times[-1]) == pytest.approx(made.times[-1] - made.times[0])
                if channel["target"]["path"] == "rotation":
                    turns = glb.array(sampler["output"])
                    assert ((turns[1:] * turns[:-1]).sum(1) > 0).all()
                    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-6)


def test_vertex_colours_are_linear_and_materials_unlit(flip_book):
    _, made, path = flip_book
    glb = Glb(path)
    (primitive,) = glb.document["meshes"][0]["primitives"]
    stored = glb.array(primitive["attributes"]["COLOR_0"])
    assert stored.dtype == np.uint16
    expected = linear_from_display(made.layers[0].colors.astype(np.float64))
    np.testing.assert_allclose(stored[:, :3] / 65535, expected, atol=1 / 65535)
    assert (stored[:, 3] == 65535).all()
    material = glb.document["materials"][primitive["material"]]
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    assert glb.document["extensionsUsed"] == ["KHR_materials_unlit"]


def test_the_error_against_the_scene_is_stored(layered):
    _, made, path = layered
    for mesh, layer in zip(Glb(path).document["meshes"], made.layers, strict=True):
        assert mesh["extras"]["vertex_error_rms"] == layer.error.rms
        assert mesh["extras"]["vertex_error_max"] == layer.error.most
    assert made.layers[0].error.rms < 0.005
    assert made.layers[1].motion == "rigid"
    assert made.layers[1].error.most < 1e-5


def test_the_camera_moves_as_the_input_did(layered):
    scene, _, path = layered
    glb = Glb(path)
    node = glb.node("input camera")
    (animation,) = glb.document["animations"]
    tracks = {c["target"]["path"]: c for c in animation["channels"] if c["target"]["node"] == node}
    space = Space.of(scene)
    centers = np.stack([camera.center_in_world.double().numpy() for camera in scene.cameras])
    places = glb.array(animation["samplers"][tracks["translation"]["sampler"]]["output"])
    np.testing.assert_allclose(places, space.points(centers), atol=1e-5)
    turns = glb.array(animation["samplers"][tracks["rotation"]["sampler"]]["output"]).astype(np.float64)
    x, y, z, w = turns.T
    backwards = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
    ahead = np.stack([camera.cam_from_world[2, :3].double().numpy() for camera in scene.cameras])
    np.testing.assert_allclose(-backwards, space.points(ahead), atol=1e-5)


def test_bones_that_miss_the_motion_are_replaced_with_a_warning(folder):
    path = folder / "auto.glb"
    result = export_scene(swaying_scene(), "glb", _request(path, skin_limit=0.002, texture="vertex"))
    assert any("flip-book" in warning for warning in result.warnings)
    assert "targets" in Glb(path).document["meshes"][0]["primitives"][0]
    assert "skins" not in Glb(path).document


def test_refitted_bones_come_closer_than_the_scenes_own(folder):
    scene = swaying_scene()
    made = mesh_layers(scene, _request(folder / "refit.glb", skin_limit=1.0, texture="vertex"))
    (layer,) = made.layers
    assert layer.motion == "bones"
    assert "fitted" in layer.motion_source
    without = dataclasses.replace(
        scene,
        layers=[
            Layer("blob", "object", dataclasses.replace(scene.layers[0].field, warp=scene.layers[0].field.warp.base))
        ],
    )
    plain = mesh_layers(without, _request(folder / "plain.glb", texture="vertex")).layers[0]
    miss = np.linalg.norm(plain.positions - layer.positions, axis=-1).max() / layer.size
    assert 0.001 < layer.error.rms < miss


def test_one_moment_is_a_still_mesh(folder):
    path = folder / "still.glb"
    export_scene(object_scene(), "glb", _request(path, at=0.5))
    document = Glb(path).document
    assert "animations" not in document
    assert "skins" not in document
    assert [issue for issue in gltf_issues(path) if issue["severity"] < 2] == []


def test_the_same_scene_gives_the_same_bytes(folder, layered):
    scene, _, path = layered
    again = mesh_layers(scene, _request(folder / "again.glb"))
    assert glb_of(scene, again, "layered")[0] == path.read_bytes()


def test_many_vertices_have_wide_indices():
    from recon4d.export.gltf.meshes import index_array

    faces = np.array([[0, 1, 65533]])
    assert index_array(faces, 65534).dtype == np.uint16
    assert index_array(faces, 65535).dtype == np.uint32
