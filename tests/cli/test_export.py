"""`recon4d export` and `recon4d import-mesh`, as a user types them; and everything that can be wrong about them."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

from recon4d.cli import main
from recon4d.core import Surfels, spherical_harmonics
from recon4d.data import write_png
from recon4d.data.gltf import GltfFile
from recon4d.data.gltf.mesh import read_primitives
from recon4d.editors import open_view
from recon4d.export.formats import FORMATS
from recon4d.field import Field, IdentityWarp
from recon4d.scene import Layer, Scene, save
from tests.export.scenes import TIMES, layered_scene, object_scene, ring

SMALL = ["--faces", "400", "--texture", "32"]


@pytest.fixture
def scene(tmp_path):
    save(object_scene(), tmp_path / "blob.r4d")
    return str(tmp_path / "blob.r4d")


def _refused(capsys, arguments: list[str], pattern: str) -> None:
    assert main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("recon4d: ")
    assert err.count("\n") == 1
    assert re.search(pattern, err)


def test_it_writes_and_says_what(tmp_path, capsys, scene):
    output = tmp_path / "a.glb"
    assert main(["export", scene, "-o", str(output), *SMALL]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^blob: vertex error, RMS % of the size: [\d.e-]+$", out, flags=re.MULTILINE)
    assert re.search(r"^blob: watertight: yes$", out, flags=re.MULTILINE)
    assert "warning: textures are taken from renders of the scene" in out
    assert str(output) in out
    assert output.read_bytes()[:4] == b"glTF"
    assert os.listdir(tmp_path) == ["blob.r4d", "a.glb"] or set(os.listdir(tmp_path)) == {"blob.r4d", "a.glb"}


def test_edits_are_applied_once(tmp_path, scene):
    script = [{"kind": "delete", "select": {"kind": "plane", "point": [0, 0, 0], "normal": [1, 0, 0]}}]
    edits = {"format": "recon4d-edits", "format_version": 1, "edits": script}
    (tmp_path / "half.json").write_text(json.dumps(edits))
    code = main(["edit", scene, str(tmp_path / "half.json"), "--quiet"])
    if code:
        pytest.fail("the script of this test is not what edits look like any more")
    output = tmp_path / "a.glb"
    assert main(["export", scene, "-o", str(output), "--quiet", *SMALL]) == 0
    shown = open_view(scene).layers[0].field.canonical.centers
    file = GltfFile(output)
    (mesh,) = read_primitives(file, next(i for i, n in enumerate(file.json["nodes"]) if "mesh" in n))
    # Axes x of the scene and of glTF are the same here.
    np.testing.assert_allclose(mesh.positions[:, 0].min(), float(shown[:, 0].min()), atol=0.15)
    np.testing.assert_allclose(mesh.positions[:, 0].max(), float(shown[:, 0].max()), atol=0.15)
    assert float(shown[:, 0].max() - shown[:, 0].min()) < 1.1


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--to", "fbx"], "format: expected one of .*glb.*got 'fbx'"),
        (["--at", "7"], "at: expected seconds from 0 to 1"),
        (["--fps", "0"], "fps: expected frames per second"),
        (["--fps", "nan"], "fps: expected frames per second"),
        (["--at", "0.5", "--fps", "24"], "at, fps: expected one of the two"),
        (["--faces", "2"], "faces: expected 4 to"),
        (["--texture", "3"], "texture: expected 16 to"),
        (["--texture", "large"], "--texture: expected a size in pixels, or vertex"),
        (["--layer", "hat"], "layer: expected one of 'blob'"),
        (["--skin-limit", "-1"], "skin_limit: expected a share above 0"),
        (["--frames", "nowhere"], "nowhere"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, scene, arguments, pattern):
    _refused(capsys, [scene, "-o", str(tmp_path / "a.glb"), *SMALL, *arguments], pattern)
    assert os.listdir(tmp_path) == ["blob.r4d"]


def test_places_that_cannot_be_written_are_refused(tmp_path, capsys, scene):
    taken = tmp_path / "taken.glb"
    taken.write_text("mine")
    _refused(capsys, [scene, "-o", str(taken)], "expected a new file, got one that exists")
    assert taken.read_text() == "mine"
    _refused(capsys, [scene, "-o", str(tmp_path / "no" / "a.glb")], "a folder above that exists")
    _refused(capsys, [scene, "-o", str(tmp_path / "a.fbx")], r"a name ending in \.glb")
    (tmp_path / "folder.glb").mkdir()
    _refused(capsys, [scene, "-o", str(tmp_path / "folder.glb"), "--overwrite"], "got a folder of that name")
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        _refused(capsys, [scene, "-o", str(locked / "a.glb")], "a place that can be written")


def _saved(tmp_path, scene: Scene) -> str:
    save(scene, tmp_path / "odd.r4d")
    return str(tmp_path / "odd.r4d")


def _nothing() -> Surfels:
    return Surfels(torch.zeros(0, 3), torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0), sh=torch.zeros(0, 1, 3))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_scenes_with_nothing_in_them_are_refused_by_every_format(tmp_path, capsys, name):
    empty = Scene(TIMES, ring(), [Layer("none", "object", Field(_nothing(), torch.arange(0), IdentityWarp()))])
    suffix = (*FORMATS[name].suffixes, "")[0]
    _refused(capsys, [_saved(tmp_path, empty), "--to", name, "-o", str(tmp_path / f"a{suffix}")], "at least one layer")
    shutil.rmtree(tmp_path / "odd.r4d")
    nowhere = Scene(TIMES, ring(), [])
    _refused(capsys, [_saved(tmp_path, nowhere), "--to", name, "-o", str(tmp_path / f"a{suffix}")], "no layers")
    assert os.listdir(tmp_path) == ["odd.r4d"]


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    from recon4d.core import InputError
    from recon4d.export.formats import export_scene
    from recon4d.export.request import ExportRequest

    scene = object_scene()
    scene.layers[0].field.canonical.centers[3, 1] = float("nan")
    with pytest.raises(InputError, match=r"NaN, infinity, or numbers beyond 1e\+15 in centers"):
        export_scene(scene, "glb", ExportRequest(tmp_path / "a.glb"))
    assert os.listdir(tmp_path) == []


def test_one_frame_and_no_bones_give_a_still_mesh(tmp_path):
    scene = layered_scene()
    one = Scene(TIMES[:1], scene.cameras[:1], [Layer("x", "object", Field(
        scene.layers[0].field.canonical, scene.layers[0].field.ids, IdentityWarp()))])  # fmt: skip
    output = tmp_path / "a.glb"
    assert main(["export", _saved(tmp_path, one), "-o", str(output), "--quiet", *SMALL]) == 0
    document = GltfFile(output).json
    assert "animations" not in document
    assert "skins" not in document


def test_layers_of_awkward_names_stay_apart(tmp_path):
    part = object_scene().layers[0].field
    twins = [Layer('a "b" \u00e4 root', "object", part), Layer("a bone 0", "object", part)]
    output = tmp_path / "a.glb"
    assert main(["export", _saved(tmp_path, Scene(TIMES, ring(), twins)), "-o", str(output), "--quiet", *SMALL]) == 0
    names = [node["name"] for node in GltfFile(output).json["nodes"] if "mesh" in node]
    assert names == [layer.name for layer in twins]


def _with_positions(source, target, change) -> None:
    """A copy of a .glb with the positions of its first mesh changed."""
    data = bytearray(source.read_bytes())
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + size])
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    begin = 20 + size + 8 + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    end = begin + 12 * accessor["count"]
    places = np.frombuffer(bytes(data[begin:end]), "<f4").reshape(-1, 3)
    data[begin:end] = change(places).astype("<f4").tobytes()
    target.write_bytes(data)


def test_a_mesh_changed_elsewhere_comes_back_as_an_edit(tmp_path, capsys, scene):
    exported, edited = tmp_path / "a.glb", tmp_path / "b.glb"
    assert main(["export", scene, "-o", str(exported), "--quiet", "--faces", "1500", "--texture", "32"]) == 0
    _with_positions(exported, edited, lambda places: places * np.where(places[:, 1:2] > 0, [1, 1.5, 1], 1))
    before = open_view(scene).layers[0].field
    assert main(["import-mesh", scene, str(edited), "--original", str(exported)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^blob: \d+ of \d+ vertices moved, by up to", out)
    after = open_view(scene).layers[0].field
    # glTF's y is the scene's z: the upper half is half again as high, the lower half as it was.
    high, low = before.canonical.centers[:, 2] > 0.2, before.canonical.centers[:, 2] < -0.3
    torch.testing.assert_close(after.canonical.centers[low], before.canonical.centers[low], rtol=0, atol=0)
    expected = before.canonical.centers[high] * torch.tensor([1, 1, 1.5])
    assert float((after.canonical.centers[high] - expected).abs().max()) < 0.03
    assert float(after.at(1.0).centers[:, 2].max()) > float(before.at(1.0).centers[:, 2].max()) + 0.3
    assert main(["edit", scene, "--undo", "--quiet"]) == 0
    back = open_view(scene).layers[0].field
    torch.testing.assert_close(back.canonical.centers, before.canonical.centers, rtol=0, atol=0)


def _shuffled(source, target) -> None:
    """A copy of a .glb whose first mesh lists its vertices in another order, as programs do that sort them anew."""
    data = bytearray(source.read_bytes())
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + size])
    primitive = document["meshes"][0]["primitives"][0]
    numbers = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
    lengths = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

    def stored(index: int) -> tuple[slice, np.ndarray]:
        accessor = document["accessors"][index]
        begin = 20 + size + 8 + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
        begin += accessor.get("byteOffset", 0)
        number, length = np.dtype(numbers[accessor["componentType"]]), lengths[accessor["type"]]
        place = slice(begin, begin + accessor["count"] * number.itemsize * length)
        return place, np.frombuffer(bytes(data[place]), number).reshape(-1, length)

    count = document["accessors"][primitive["attributes"]["POSITION"]]["count"]
    order = np.random.default_rng(3).permutation(count)
    for index in primitive["attributes"].values():
        place, values = stored(index)
        data[place] = values[order].tobytes()
    place, corners = stored(primitive["indices"])
    data[place] = np.argsort(order)[corners].astype(corners.dtype).tobytes()
    target.write_bytes(data)


def test_vertices_in_another_order_are_told_apart_by_their_texture_coordinates(tmp_path, scene):
    exported, edited, sorted_anew = tmp_path / "a.glb", tmp_path / "b.glb", tmp_path / "c.glb"
    assert main(["export", scene, "-o", str(exported), "--quiet", "--faces", "1500", "--texture", "32"]) == 0
    _with_positions(exported, edited, lambda places: places * np.where(places[:, 1:2] > 0, [1, 1.5, 1], 1))
    _shuffled(edited, sorted_anew)
    assert edited.read_bytes() != sorted_anew.read_bytes()
    centers = []
    for file in (edited, sorted_anew):
        assert main(["import-mesh", scene, str(file), "--original", str(exported), "--quiet"]) == 0
        centers.append(open_view(scene).layers[0].field.canonical.centers)
        assert main(["edit", scene, "--undo", "--quiet"]) == 0
    torch.testing.assert_close(centers[1], centers[0], rtol=0, atol=1e-6)


def test_a_repainted_texture_colours_the_surfels(tmp_path, scene):
    exported, paint = tmp_path / "a.glb", tmp_path / "paint.png"
    assert main(["export", scene, "-o", str(exported), "--quiet", "--faces", "1500", "--texture", "64"]) == 0
    before = open_view(scene).layers[0].field
    wanted = np.array([40, 90, 220], np.uint8)
    write_png(paint, np.broadcast_to(wanted, (64, 64, 3)).copy())
    command = ["import-mesh", scene, str(exported), "--original", str(exported), "--quiet"]
    assert main([*command, "--painted", str(paint)]) == 0
    after = open_view(scene).layers[0].field
    torch.testing.assert_close(after.canonical.centers, before.canonical.centers, rtol=0, atol=1e-6)
    assert after.canonical.sh is not None
    towards = torch.tensor([0.0, 0.0, 1.0]).expand(len(after), 3)
    colors = spherical_harmonics.evaluate(after.canonical.sh, towards)
    away = (colors - torch.from_numpy(wanted / 255)).abs().amax(-1)
    assert float(away.quantile(0.95)) < 0.1


def test_other_meshes_are_not_taken_back(tmp_path, capsys, scene):
    exported, other = tmp_path / "a.glb", tmp_path / "other.obj"
    assert main(["export", scene, "-o", str(exported), "--quiet", *SMALL]) == 0
    other.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert main(["import-mesh", scene, str(other), "--original", str(exported)]) == 2
    assert "vertices of the exported mesh" in capsys.readouterr().err
    flat = tmp_path / "still.glb"
    assert main(["export", scene, "-o", str(flat), "--at", "1", "--quiet", *SMALL]) == 0
    assert main(["import-mesh", scene, str(flat), "--original", str(flat)]) == 2
    assert "canonical state" in capsys.readouterr().err
    assert not (tmp_path / "blob.r4d" / "edits.json").exists()
