"""Assets: every kind of file against what was written into it, and against readers of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d import scene as scenes
from recon4d.core import Camera, InputError, quaternion
from recon4d.data.gltf import GltfClip
from recon4d.editors.shapes import Asset, read_asset
from recon4d.field import BonesWarp, IdentityWarp
from recon4d.scene import Layer, Scene
from tests.editors.shapes.asset_files import (
    SQUARE_OBJ,
    covariances,
    gaussians,
    packed_ply,
    splat_ply,
    square_ply,
)
from tests.editors.shapes.fields import field
from tests.synthetic.conftest import build_glb

TO_Z_UP = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # of glTF's axes


def _hinge(tmp_path: Path) -> Path:
    """A strip skinned to two joints under an armature with a scale and a turn, and a prop on the second joint."""
    f4 = np.float32
    y = np.repeat(np.linspace(0, 2, 9), 2)
    strip = np.stack([np.tile([-0.1, 0.1], 9), y, np.zeros(18)], -1).astype(f4) * 100
    faces = np.array([[2 * i, 2 * i + 1, 2 * i + 2, 2 * i + 1, 2 * i + 3, 2 * i + 2] for i in range(8)], np.uint16)
    share = np.clip(y - 0.5, 0, 1)
    joints = np.tile(np.array([0, 1, 0, 0], np.uint8), (18, 1))
    weights = np.stack([1 - share, share, 0 * share, 0 * share], -1).astype(f4)
    inverse = np.stack([np.eye(4), np.eye(4)]).astype(f4)
    inverse[1, 3, 1] = -100.0
    prop = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.3, 0]], f4) * 100
    colors = np.array([[0, 0, 255, 255]] * 3, np.uint8)
    times = np.array([0.0, 0.5, 1.0], f4)
    half = np.array([0.0, 0.4, 0.0])
    turns = np.stack([0 * half, 0 * half, np.sin(half), np.cos(half)], -1).astype(f4)
    up = np.array([[0, 0, 0], [0, 20, 0], [0, 0, 0]], f4)
    arrays = [strip, faces.reshape(-1), joints, weights, inverse.reshape(2, 16), prop, colors, times, turns, up]
    quarter = [0, float(np.sin(0.3)), 0, float(np.cos(0.3))]
    document = {
        "scene": 0,
        "scenes": [{"nodes": [0, 4]}],
        "nodes": [
            {"name": "armature", "children": [1], "scale": [0.01] * 3, "rotation": quarter},
            {"name": "hip", "children": [2]},
            {"name": "knee", "translation": [0, 100, 0], "children": [3]},
            {"name": "flag", "mesh": 1, "translation": [0, 50, 0]},
            {"name": "strip", "mesh": 0, "skin": 0},
        ],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 2, "WEIGHTS_0": 3}, "indices": 1,
                             "material": 0}]},
            {"primitives": [{"attributes": {"POSITION": 5, "COLOR_0": 6}}]},
        ],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}],
        "skins": [{"joints": [1, 2], "inverseBindMatrices": 4}],
        "animations": [
            {
                "name": "wave",
                "samplers": [{"input": 7, "output": 8}, {"input": 7, "output": 9}],
                "channels": [
                    {"sampler": 0, "target": {"node": 2, "path": "rotation"}},
                    {"sampler": 1, "target": {"node": 1, "path": "translation"}},
                ],
            }
        ],
        "accessor_extras": [{}] * 6 + [{"normalized": True}] + [{}] * 3,
    }  # fmt: skip
    path = tmp_path / "hinge.glb"
    path.write_bytes(build_glb(document, arrays))
    return path


def _follows(asset: Asset, clip: GltfClip, most: float, mean: float) -> None:
    """The surfels are where the file's own vertices have them, at every time, to shares of the size."""
    mesh = asset.mesh
    assert mesh is not None
    assert np.array_equal(mesh.faces, clip.faces)
    for t in np.linspace(0, clip.duration, 7):
        corners = (clip.vertices_at(float(t)) @ TO_Z_UP.T)[clip.faces[mesh.face]]
        expected = (corners * mesh.barycentric[..., None]).sum(1)
        size = np.linalg.norm(np.ptp(expected, axis=0))
        apart = np.linalg.norm(asset.field.at(float(t)).centers.double().numpy() - expected, axis=-1)
        assert apart.max() < most * size
        assert apart.mean() < mean * size


def test_a_skinned_glb_moves_by_bones_as_the_file_does(tmp_path: Path) -> None:
    path = _hinge(tmp_path)
    asset = read_asset(path, surfels=2000)
    assert (asset.name, asset.bone_names, asset.duration) == ("hinge", ("hip", "knee", "flag"), 1.0)
    assert 0 < asset.motion_error < 0.008
    warp = asset.field.warp
    assert isinstance(warp, BonesWarp)
    # The file's motion has a corner at half time, which a smooth spline rounds off.
    _follows(asset, GltfClip(path), most=0.008, mean=0.0025)
    # The prop is rigid with the knee, in its colour; the strip has its material's.
    prop = asset.mesh.face >= 16
    assert bool((warp.weights[prop].amax(1) > 0.999).all())
    color = (0.5 + 0.28209479177387814 * asset.field.canonical.sh[:, 0]).numpy()
    np.testing.assert_allclose(color[prop], np.tile([0, 0, 1], (prop.sum(), 1)), atol=1e-5)
    np.testing.assert_allclose(color[~prop], np.tile([1, 0, 0], ((~prop).sum(), 1)), atol=1e-5)
    # Bones rest where the joints are: the knee one unit up.
    np.testing.assert_allclose(warp.rest_translations[1], [0, 0, 1], atol=1e-6)
    assert read_asset(path, surfels=500, hide=["flag"]).bone_names == ("hip", "knee")


def test_surfels_lie_in_their_triangles_and_leave_no_holes(tmp_path: Path) -> None:
    asset = read_asset(_hinge(tmp_path), surfels=2000)
    state = asset.field.canonical
    mesh = asset.mesh
    a, b, c = (mesh.vertices[mesh.faces[mesh.face][:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    found = quaternion.to_matrix(state.rotations_wxyz)[..., 2].numpy()
    np.testing.assert_allclose((found * normal).sum(-1), 1, atol=1e-5)
    from scipy.spatial import cKDTree

    places = state.centers.double().numpy()
    gap = cKDTree(places).query(places, k=2)[0][:, 1]
    assert gap.max() < 2 * float(state.scales[0, 0])
    # Even: each triangle has surfels in proportion to its area.
    area = np.linalg.norm(
        np.cross(*(mesh.vertices[mesh.faces][:, i] - mesh.vertices[mesh.faces][:, 0] for i in (1, 2))), axis=-1
    )
    share = np.bincount(mesh.face, minlength=len(mesh.faces)) / len(mesh.face)
    np.testing.assert_allclose(share, area / area.sum(), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "action", "most", "mean"),
    [("Fox", "Walk", 0.03, 0.003), ("Knight", "Walking_A", 0.005, 0.0003), ("Horse", "Gallop", 0.009, 0.0009)],
)
def test_sample_assets_move_as_their_files_do(
    samples_dir: Path, name: str, action: str, most: float, mean: float
) -> None:
    path = samples_dir / "assets" / f"{name}.glb"
    asset = read_asset(path, surfels=3000, action=action)
    assert 0 < asset.motion_error < 0.002
    # Corners follow closely.  Between corners of different bones weights are blended, where the file's flat triangles
    # blend places: surfels bulge, the more the larger the triangles are.  The fox has 576, the knight 6,952.
    _follows(asset, GltfClip(path, action), most, mean)
    low, high = asset.field.canonical.centers.amin(0), asset.field.canonical.centers.amax(0)
    assert low[2].abs() < 0.05 * (high - low)[2]  # stands on the ground, upright


def test_a_still_glb_is_placed_by_its_nodes(tmp_path: Path) -> None:
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    document = {
        "nodes": [{"translation": [0, 5, 0], "scale": [2, 2, 2], "children": [1]}, {"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    }
    (tmp_path / "still.glb").write_bytes(build_glb(document, [triangle]))
    asset = read_asset(tmp_path / "still.glb", surfels=400)
    assert isinstance(asset.field.warp, IdentityWarp)
    assert asset.duration == 0
    # glTF's x, y, z are our y, z, x.
    np.testing.assert_allclose(asset.mesh.vertices, [[0, 0, 5], [0, 2, 5], [0, 0, 7]], atol=1e-12)
    lying = read_asset(tmp_path / "still.glb", surfels=400, up="+z")
    np.testing.assert_allclose(lying.mesh.vertices, [[0, 5, 0], [2, 5, 0], [0, 7, 0]], atol=1e-12)
    torch.testing.assert_close(lying.field.canonical.centers[:, 1], asset.field.canonical.centers[:, 2])


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_three_scale_splats_become_their_two_largest_axes(tmp_path: Path, degree: int) -> None:
    some = gaussians()
    asset = read_asset(splat_ply(tmp_path / "a.ply", some, degree=degree), up="+z")
    got = asset.field.canonical
    np.testing.assert_allclose(got.centers, some["places"], atol=1e-5)
    np.testing.assert_allclose(got.opacities, some["opacities"], atol=1e-5)
    np.testing.assert_allclose(got.sh, some["sh"][:, : (degree + 1) ** 2], atol=1e-5)
    order = np.sort(some["scales"], axis=1)[:, ::-1]
    np.testing.assert_allclose(got.scales, order[:, :2], rtol=1e-4)
    # What is left out is the smallest axis alone.
    smallest = some["scales"].argmin(1)
    axes = quaternion.to_matrix(torch.from_numpy(some["turns"])).numpy()
    normal = axes[np.arange(len(axes)), :, smallest]
    flat = covariances(got.rotations_wxyz.numpy(), got.scales.numpy())
    thin = some["scales"][np.arange(len(axes)), smallest] ** 2
    full = covariances(some["turns"], some["scales"])
    np.testing.assert_allclose(flat + thin[:, None, None] * normal[:, :, None] * normal[:, None, :], full, atol=1e-6)


def test_two_scale_splats_are_surfels_already(tmp_path: Path) -> None:
    some = gaussians()
    got = read_asset(splat_ply(tmp_path / "a.ply", some, scales=2), up="+z").field.canonical
    flat = covariances(got.rotations_wxyz.numpy(), got.scales.numpy())
    np.testing.assert_allclose(flat, covariances(some["turns"], some["scales"][:, :2]), atol=1e-7)
    normals = quaternion.to_matrix(got.rotations_wxyz)[..., 2]
    expected = quaternion.to_matrix(torch.from_numpy(some["turns"]))[..., 2]
    np.testing.assert_allclose(normals, expected, atol=1e-5)


def test_compressed_splats_are_those_that_were_packed(tmp_path: Path) -> None:
    some = gaussians(700)
    got = read_asset(packed_ply(tmp_path / "a.compressed.ply", some), up="+z")
    assert got.name == "a"
    surfels = got.field.canonical
    np.testing.assert_allclose(surfels.centers, some["places"], atol=0.006)
    np.testing.assert_allclose(surfels.opacities, some["opacities"], atol=0.003)
    np.testing.assert_allclose(surfels.scales, np.sort(some["scales"], axis=1)[:, :0:-1], rtol=0.004)
    color = np.clip(0.5 + 0.28209479177387814 * some["sh"][:, 0], 0, 1)
    np.testing.assert_allclose(0.5 + 0.28209479177387814 * surfels.sh[:, 0].numpy(), color, atol=0.003)
    apart = np.abs(np.sort(some["scales"], 1)[:, 0] / np.sort(some["scales"], 1)[:, 1] - 1) > 0.05
    axes = quaternion.to_matrix(torch.from_numpy(some["turns"])).numpy()
    normal = axes[np.arange(700), :, some["scales"].argmin(1)]
    found = quaternion.to_matrix(surfels.rotations_wxyz)[..., 2].numpy()
    assert (np.abs((found * normal).sum(-1))[apart] > 0.9999).all()


def test_the_sample_scan_of_a_guitar_stands_upright(samples_dir: Path) -> None:
    asset = read_asset(samples_dir / "splats" / "guitar.compressed.ply")
    assert len(asset.field) == 90_854
    low, high = (asset.field.canonical.centers.quantile(q, 0) for q in (0.01, 0.99))
    assert (high - low).argmax() == 2
    # The body is below the neck: the lower half is wider.
    centers = asset.field.canonical.centers
    below = centers[:, 2] < (low[2] + high[2]) / 2
    assert centers[below].std(0)[:2].norm() > 1.5 * centers[~below].std(0)[:2].norm()


@pytest.mark.parametrize("order", ["<", ">"])
def test_triangle_meshes_in_ply_carry_their_colours(tmp_path: Path, order: str) -> None:
    asset = read_asset(square_ply(tmp_path / "a.ply", order=order), surfels=500)
    centers = asset.field.canonical.centers
    color = 0.5 + 0.28209479177387814 * asset.field.canonical.sh[:, 0]
    assert (centers[:, 2] - 0.5).abs().max() < 1e-6
    # Red grows with x and green with y, on both triangles of the quad.
    torch.testing.assert_close(color[:, 0], centers[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(color[:, 1], centers[:, 1], rtol=0, atol=1e-5)
    assert centers.amin(0)[:2].max() < 0.05
    assert centers.amax(0)[:2].min() > 0.95


def test_obj_with_quads_and_vertex_colours_is_y_up(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(SQUARE_OBJ)
    asset = read_asset(tmp_path / "a.obj", surfels=500)
    centers = asset.field.canonical.centers
    color = 0.5 + 0.28209479177387814 * asset.field.canonical.sh[:, 0]
    assert (centers[:, 2] - 0.5).abs().max() < 1e-6
    # The file's z is our x, its x is our y: there green and red grow.
    torch.testing.assert_close(color[:, 1], centers[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(color[:, 0], centers[:, 1], rtol=0, atol=1e-5)
    plain = SQUARE_OBJ.replace(" 0 0 0\n", "\n", 1)
    (tmp_path / "b.obj").write_text(plain)
    gray = read_asset(tmp_path / "b.obj", surfels=50).field.canonical.sh
    assert float(gray.std(0).max()) < 1e-6


def test_an_ascii_mesh_reads_as_the_binary_one(tmp_path: Path) -> None:
    text = """ply
format ascii 1.0
comment by hand
element vertex 4
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 1
property list uchar int vertex_indices
end_header
0 0 0.5 0 0 0
1 0 0.5 255 0 0
1 1 0.5 255 255 0
0 1 0.5 0 255 0
4 0 1 2 3
"""
    (tmp_path / "a.ply").write_text(text)
    one = read_asset(tmp_path / "a.ply", surfels=100).field.canonical
    other = read_asset(square_ply(tmp_path / "b.ply"), surfels=100).field.canonical
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name])


def _scene_file(tmp_path: Path) -> Path:
    cameras = [Camera.look_at((0, -5, 1), width=16, height=12)] * 3
    layers = [
        Layer("cat", "object", field("rooted").to(torch.float32)),
        Layer("mouse", "object", replace(field("rigid", 20).to(torch.float32))),
        Layer("yard", "background", field("identity").to(torch.float32)),
    ]
    scenes.save(Scene(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), cameras, layers), tmp_path / "a.r4d")
    return tmp_path / "a.r4d"


def test_a_layer_of_another_scene_comes_with_its_motion(tmp_path: Path) -> None:
    path = _scene_file(tmp_path)
    cat, mouse = read_asset(path), read_asset(path, layer="mouse")
    assert (cat.name, cat.duration, len(cat.bone_names)) == ("cat", 1.0, 3)
    assert cat.sha256 == scenes.content_hash(path)
    for asset, kind, count in ((cat, "rooted", 60), (mouse, "rigid", 20)):
        expected = field(kind, count).to(torch.float32).at(0.4).centers
        torch.testing.assert_close(asset.field.at(0.4).centers, expected, rtol=0, atol=1e-6)
        assert torch.equal(asset.field.ids, torch.arange(count))
    assert read_asset(path, layer="yard").duration == 0
    with pytest.raises(InputError, match="one of 'cat', 'mouse', 'yard', got 'dog'"):
        read_asset(path, layer="dog")


def test_up_turns_what_moves_and_what_stands(tmp_path: Path) -> None:
    path = _scene_file(tmp_path)
    for layer in ("cat", "mouse", "yard"):
        plain, turned = read_asset(path, layer=layer), read_asset(path, layer=layer, up="-y")
        x, y, z = plain.field.at(0.3).centers.unbind(-1)
        torch.testing.assert_close(turned.field.at(0.3).centers, torch.stack([z, -x, -y], -1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"surfels": 0}, "surfels: expected 1 to"),
        ({"surfels": 10**9}, "surfels: expected 1 to"),
        ({"up": "z"}, "up: expected"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path: Path, change: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_asset(square_ply(tmp_path / "a.ply"), **change)
