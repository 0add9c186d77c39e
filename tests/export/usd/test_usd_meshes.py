"""Meshes in USD: vertices that UsdSkel computes, and points, against those that were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon4d.export.formats import export_scene
from recon4d.export.mesh.layers import LayerMeshes, mesh_layers
from recon4d.export.request import ExportRequest
from recon4d.scene import Scene
from tests.export.scenes import layered_scene, object_scene
from tests.export.usd.checks import opened


def small(path: Path, **more: Any) -> ExportRequest:
    return ExportRequest(path=path, faces=300, texture=64, **more)


@pytest.fixture(scope="module")
def scene() -> Scene:
    whole = layered_scene()
    return Scene(whole.frame_times, whole.cameras, whole.layers[:2])


@pytest.fixture(scope="module")
def made(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> LayerMeshes:
    return mesh_layers(scene, small(tmp_path_factory.mktemp("none") / "a.usdz"))


def world_points(stage: Any, path: str, code: float) -> np.ndarray:
    """[V, 3] points of a mesh in the world at a time code, skinned meshes baked before."""
    from pxr import UsdGeom

    mesh = UsdGeom.Mesh.Get(stage, path)
    matrix = np.array(UsdGeom.Imageable(mesh).ComputeLocalToWorldTransform(code))
    points = np.array(mesh.GetPointsAttr().Get(code), np.float64)
    return points @ matrix[:3, :3] + matrix[3, :3]


def test_usdskel_puts_vertices_where_they_were_made(scene: Scene, made: LayerMeshes, tmp_path: Path) -> None:
    from pxr import Usd, UsdSkel

    path = tmp_path / "a.usdz"
    result = export_scene(scene, "usd", small(path))
    assert [layer.motion for layer in made.layers] == ["bones", "rigid"]
    assert result.numbers["moments"] == len(made.times)
    stage = opened(path)
    flat = Usd.Stage.Open(stage.Flatten())
    assert UsdSkel.BakeSkinning(flat.Traverse())
    for layer in made.layers:
        for code in (0, 3, 8):
            there = world_points(flat, f"/Scene/{layer.name}/Mesh", code)
            np.testing.assert_allclose(there, layer.positions[code], atol=1e-4 * layer.size)
    skeleton = stage.GetPrimAtPath("/Scene/blob/Skeleton")
    assert len(skeleton.GetAttribute("joints").Get()) == 3


def test_textures_travel_in_the_package(scene: Scene, made: LayerMeshes, tmp_path: Path) -> None:
    from pxr import UsdGeom, UsdShade

    path = tmp_path / "a.usdz"
    export_scene(scene, "usd", small(path))
    stage = opened(path)
    shader = UsdShade.Shader.Get(stage, "/Scene/blob/Material/Texture")
    asset = shader.GetInput("file").Get()
    assert asset.resolvedPath.endswith("/blob.png]")  # USD renames folders when it packs
    mesh = UsdGeom.Mesh.Get(stage, "/Scene/blob/Mesh")
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").ComputeFlattened()
    corners = made.layers[0].cut.uv[made.layers[0].cut.faces.reshape(-1)]
    np.testing.assert_allclose(np.array(st), np.stack([corners[:, 0], 1 - corners[:, 1]], -1), atol=1e-6)


def test_shapes_are_points_at_every_moment(tmp_path: Path) -> None:
    scene, path = object_scene(), tmp_path / "a.usdc"
    export_scene(scene, "usd", small(path, morph=True))
    made = mesh_layers(scene, small(path, morph=True), bones=False)
    stage = opened(path)
    for code in (0, 5, 8):
        there = world_points(stage, "/Scene/blob/Mesh", code)
        np.testing.assert_allclose(there, made.layers[0].positions[code], atol=1e-5)
    assert stage.GetPrimAtPath("/Scene/blob/Mesh").HasAttribute("primvars:displayColor")
