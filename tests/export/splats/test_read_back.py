"""Splats that were exported, and those of other programs, come back as assets: the same surfels in the same places."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon4d.core import InputError, Surfels, quaternion
from recon4d.core.spherical_harmonics import evaluate
from recon4d.editors.shapes import Asset, read_asset
from recon4d.export.formats import export_scene
from recon4d.export.gltf.space import Space
from recon4d.export.request import ExportRequest
from recon4d.field import Field, RigidWarp
from recon4d.scene import Layer, Scene
from tests.export.clients import node_modules
from tests.export.scenes import TIMES, object_scene, ring, straight

TIME = 0.5


def _scene() -> Scene:
    """A blob without symmetry whose colours depend on the view, moved rigidly; up is +z."""
    surfels = object_scene().layers[0].field.canonical
    sh = torch.nn.functional.pad(surfels.sh, (0, 0, 0, 3))
    sh[:, 1:] = 0.2 * torch.randn(len(sh), 3, 3, generator=torch.Generator().manual_seed(3))
    stretched = surfels.centers * torch.tensor([1.0, 0.6, 0.4])
    scales = surfels.scales * torch.tensor([1.5, 0.7])
    surfels = surfels.replace(centers=stretched, scales=scales, sh=sh)
    field = Field(surfels, torch.arange(len(surfels)), RigidWarp(straight((0.4, 0, 0.2))))
    return Scene(TIMES, ring(), [Layer("blob", "object", field)])


def _agree(
    asset: Asset, scene: Scene, *, close: float, colors: float, turn: torch.Tensor | None = None, degree: int = 1
) -> None:
    """The asset is the scene at TIME, turned; packed files round sizes to 3 %."""
    turn = torch.eye(3) if turn is None else turn
    state, read = scene.appearance_at(TIME), asset.field.at(0.0)
    distance = torch.cdist(state.centers @ turn.T, read.centers, compute_mode="donot_use_mm_for_euclid_dist")
    order = distance.argmin(1)
    assert len(torch.unique(order)) == len(state)
    assert float(distance.min(1).values.max()) < close
    mine, theirs = (quaternion.to_matrix(quaternion.normalize(s.rotations_wxyz)) for s in (state, read))
    mine, theirs = turn @ mine, theirs[order]
    assert float((mine[..., 2] * theirs[..., 2]).sum(-1).abs().min()) > 0.999
    wide = mine.gather(2, state.scales.argmax(1)[:, None, None].expand(-1, 3, 1))[..., 0]
    assert float((wide * theirs[..., 0]).sum(-1).abs().min()) > 0.999
    torch.testing.assert_close(read.scales[order], state.scales.sort(1, descending=True).values, rtol=0.04, atol=0)
    torch.testing.assert_close(read.opacities[order], state.opacities, rtol=0, atol=0.01)
    view = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=1).expand(len(state), 3)
    seen = _seen(state, view) if degree else evaluate(state.sh[:, :1], view)
    back = _seen(read, view @ turn.T)[order]
    assert float((back.clamp(0, 1) - seen.clamp(0, 1)).abs().mean()) < colors


def _seen(surfels: Surfels, view: torch.Tensor) -> torch.Tensor:
    """Colours from a direction in the world."""
    assert surfels.world_from_canonical_wxyz is not None
    assert surfels.sh is not None
    return evaluate(surfels.sh, quaternion.rotate(quaternion.conjugate(surfels.world_from_canonical_wxyz), view))


def _exported(scene: Scene, name: str, path: Path) -> Path:
    export_scene(scene, name, ExportRequest(path=path, at=TIME))
    return path


def test_our_own_gltf_comes_back(tmp_path: Path) -> None:
    scene = _scene()
    asset = read_asset(_exported(scene, "splats-glb", tmp_path / "a.glb"))
    assert (asset.name, asset.mesh) == ("a", None)
    # glTF has y up and looks along z, assets have z up and look along x.
    file = quaternion.to_matrix(torch.from_numpy(Space.of(scene).turn)).float()
    turn = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) @ file
    torch.testing.assert_close(turn[2], torch.tensor([0.0, 0, 1]), atol=1e-6, rtol=0)
    _agree(asset, scene, close=1e-5, colors=1e-4, turn=turn)


@pytest.mark.parametrize("name", ["sog", "spz"])
def test_packed_splats_come_back(name: str, tmp_path: Path, monkeypatch) -> None:
    programs = node_modules("@playcanvas/splat-transform") / ".bin"
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    scene = _scene()
    path = _exported(scene, name, tmp_path / f"a.{name}")
    _agree(read_asset(path, up="+z"), scene, close=1e-3, colors=0.03)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"splat-transform, which unpacks .*npm install"):
        read_asset(path)


def _splat(tmp_path: Path, scene: Scene, **changes: Any) -> Path:
    """A .splat file of the scene: places and scales as floats, colours and turns as bytes."""
    state = scene.appearance_at(TIME)
    rows = np.zeros(len(state), [("p", "<f4", 3), ("s", "<f4", 3), ("c", "u1", 4), ("q", "u1", 4)])
    rows["p"] = state.centers
    rows["s"] = torch.cat([state.scales, 0.001 * state.scales[:, :1]], 1)
    color = evaluate(state.sh[:, :1], torch.tensor([[0.0, 0, 1]]).expand(len(state), 3))
    rows["c"] = np.rint(255 * torch.cat([color, state.opacities[:, None]], 1).clamp(0, 1).numpy())
    rows["q"] = np.rint(128 + 127 * quaternion.normalize(state.rotations_wxyz).numpy())
    for name, value in changes.items():
        rows[name][3] = value
    path = tmp_path / "a.splat"
    path.write_bytes(rows.tobytes())
    return path


def test_the_small_format_of_web_viewers_is_read(tmp_path: Path) -> None:
    scene = _scene()
    _agree(read_asset(_splat(tmp_path, scene), up="+z"), scene, close=1e-5, colors=0.01, degree=0)


@pytest.mark.parametrize(
    ("changes", "message"), [({"q": 128}, "quaternions"), ({"p": np.nan}, "finite"), ({"s": np.inf}, "finite")]
)
def test_wrong_numbers_of_small_files_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_asset(_splat(tmp_path, _scene(), **changes))


@pytest.mark.parametrize("content", [b"", b"x" * 33, b"x" * 31])
def test_small_files_of_no_whole_splats_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.splat").write_bytes(content)
    with pytest.raises(InputError, match="32 bytes for every splat"):
        read_asset(tmp_path / "a.splat")


def _changed(path: Path, change) -> Path:
    """The .glb with its document changed."""
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    path.write_bytes(head + text + rest)
    return path


def test_nodes_move_turn_and_grow_splats(tmp_path: Path) -> None:
    plain = read_asset(_exported(_scene(), "splats-glb", tmp_path / "a.glb"))
    half = float(np.sqrt(0.5))

    def moved(document: dict[str, Any]) -> None:
        document["nodes"][0] |= {"translation": [1, 2, 3], "rotation": [0, half, 0, half], "scale": [2, 2, 2]}

    asset = read_asset(_changed(tmp_path / "a.glb", moved))
    before, after = plain.field.at(0.0), asset.field.at(0.0)
    # About +y, which is up: x goes to -z; in the asset's axes, z up and y along the file's x, that is a turn about z.
    x, y, z = before.centers.unbind(1)
    expected = torch.stack([-y, x, z], 1) * 2 + torch.tensor([3.0, 1.0, 2.0])
    torch.testing.assert_close(after.centers, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.scales, 2 * before.scales, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["nodes"][0].update(scale=[1, 2, 1]), "stretched or mirrored"),
        (lambda d: d["nodes"][0].update(scale=[-1, 1, 1]), "stretched or mirrored"),
        (lambda d: _attributes(d).pop("KHR_gaussian_splatting:ROTATION"), "ROTATION"),
        (lambda d: _attributes(d).update({"KHR_gaussian_splatting:SCALE": 0, "POSITION": 1}), "columns"),
        (lambda d: _attributes(d).update({"KHR_gaussian_splatting:SCALE": 999}), "index into accessors"),
        (lambda d: _attributes(d).pop("KHR_gaussian_splatting:SH_DEGREE_1_COEF_2"), "SH_DEGREE_1_COEF_2"),
        (lambda d: _told(d).update(kernel="cube"), "kernel"),
        (lambda d: _told(d).update(colorSpace="lin_rec709_display"), "colorSpace"),
        (lambda d: d["accessors"][0].update(count=10**9), "values inside"),
    ],
)
def test_wrong_splats_in_gltf_are_refused(change, message: str, tmp_path: Path) -> None:
    path = _exported(_scene(), "splats-glb", tmp_path / "a.glb")
    with pytest.raises(InputError, match=message):
        read_asset(_changed(path, change))


def _attributes(document: dict[str, Any]) -> dict[str, Any]:
    return document["meshes"][0]["primitives"][0]["attributes"]


def _told(document: dict[str, Any]) -> dict[str, Any]:
    return document["meshes"][0]["primitives"][0]["extensions"]["KHR_gaussian_splatting"]
