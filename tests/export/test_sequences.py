"""Sequences of meshes: the same topology in every file, vertices where the layers' meshes have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon4d.export.formats import export_scene
from recon4d.export.mesh.layers import mesh_layers
from recon4d.export.request import ExportRequest
from tests.export.clients import package
from tests.export.scenes import object_scene


def small(path: Path, **more: Any) -> ExportRequest:
    return ExportRequest(path=path, faces=300, texture=64, fps=4.0, **more)


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_files_hold_the_mesh_at_every_moment(suffix: str, tmp_path: Path) -> None:
    trimesh = package("trimesh")
    scene, folder = object_scene(), tmp_path / "sequence"
    export_scene(scene, f"{suffix}-sequence", small(folder))
    [layer] = mesh_layers(scene, small(tmp_path / "none"), bones=False).layers
    listed = json.loads((folder / "times.json").read_text())
    assert listed["seconds"] == [0, 0.25, 0.5, 0.75, 1.0]
    for moment, name in enumerate(listed["files"]):
        read = trimesh.load(folder / name, process=False)
        assert len(read.faces) == len(layer.mesh.faces)
        triangles = layer.positions[moment][layer.mesh.faces]
        np.testing.assert_allclose(read.vertices[read.faces], triangles, atol=1e-5 * layer.size)
    if suffix == "obj":
        assert read.visual.material.image.size == (64, 64)
        corners = layer.cut.uv[layer.cut.faces] * [1, -1] + [0, 1]
        np.testing.assert_allclose(read.visual.uv[read.faces], corners, atol=1e-5)
    else:
        colors = np.asarray(read.visual.vertex_colors)[:, :3] / 255
        assert np.abs(colors - layer.colors).mean() < 0.05
