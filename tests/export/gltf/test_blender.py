"""Exported files in Blender, and back: python -m pytest -m blender, with RECON4D_BLENDER_PYTHON a Python that has bpy.

Blender's module is large, wants a Python of its own and is under the GPL, so nothing else depends on it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.cli import main
from recon4d.editors import open_view
from recon4d.export.gltf.exporter import glb_of
from recon4d.export.mesh.layers import LayerMeshes, mesh_layers
from recon4d.export.request import ExportRequest
from recon4d.scene import save
from tests.export.gltf.files import Glb, positions_in_three
from tests.export.scenes import TIMES, object_scene

pytestmark = pytest.mark.blender

SOME = [0.0, 0.3, 0.95]  # seconds; three.js begins again at the clip's very end


def in_blender(source: Path, folder: Path, *changed: Path, rate: int = 24) -> dict:
    """What `blender_tell.py` tells, at so many frames a second."""
    python = os.environ.get("RECON4D_BLENDER_PYTHON") or pytest.fail("RECON4D_BLENDER_PYTHON names no Python with bpy")
    told, script = folder / "told.json", Path(__file__).with_name("blender_tell.py")
    command = [python, str(script), str(source), str(rate), str(told), ",".join(map(repr, SOME)), *map(str, changed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert told.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(told.read_text())


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[LayerMeshes, Path]:
    path = tmp_path_factory.mktemp("blender") / "thing.glb"
    scene = object_scene()
    made = mesh_layers(scene, ExportRequest(path, faces=600, texture=64))
    path.write_bytes(glb_of(scene, made, "thing")[0])
    return made, path


def test_blender_poses_the_vertices_as_three_does(exported: tuple[LayerMeshes, Path], tmp_path: Path):
    made, path = exported
    told = in_blender(path, tmp_path)
    (layer,) = made.layers
    assert len(told["meshes"]) == 1
    assert told["bones"] == [len(layer.bones) + 1]
    assert told["cameras"] == 1
    assert [64, 64] in told["images"]
    assert max(last for _, last in told["actions"]) == pytest.approx(
        float(TIMES[-1] - TIMES[0]) * told["fps"], abs=1e-2
    )
    expected = positions_in_three(path, SOME)
    node = next(i for i, node in enumerate(Glb(path).document["nodes"]) if "skin" in node)
    for time in SOME:
        # Blender is z up.
        posed = np.array(told["vertices"][repr(time)][0])[:, [0, 2, 1]] * [1, 1, -1]
        size = np.ptp(expected[time][node], axis=0).max()
        assert np.abs(posed - expected[time][node]).max() < 1e-4 * size


def test_what_was_enlarged_in_blender_is_larger_through_the_clip(tmp_path: Path):
    scene, exported, edited = tmp_path / "blob.r4d", tmp_path / "a.glb", tmp_path / "b.glb"
    save(object_scene(), scene)
    assert main(["export", str(scene), "-o", str(exported), "--quiet", "--faces", "1500", "--texture", "32"]) == 0
    in_blender(exported, tmp_path, edited)
    before = open_view(str(scene)).layers[0].field
    assert main(["import-mesh", str(scene), str(edited), "--original", str(exported), "--quiet"]) == 0
    after = open_view(str(scene)).layers[0].field
    high, low = before.canonical.centers[:, 2] > 0.2, before.canonical.centers[:, 2] < -0.3
    assert float((after.canonical.centers[low] - before.canonical.centers[low]).abs().max()) < 1e-5
    wanted = before.canonical.centers[high] * torch.tensor([1, 1, 1.5])
    assert float((after.canonical.centers[high] - wanted).abs().max()) < 0.03
    for time in SOME:
        top = [float(field.at(time).centers[:, 2].max()) for field in (before, after)]
        assert top[1] > top[0] + 0.3


@pytest.mark.parametrize("options", [[], ["--morph"]], ids=["skeleton", "moments"])
def test_blender_opens_the_usd_file(tmp_path: Path, options: list[str]):
    """Vertices move in Blender as in the .glb of the same scene."""
    scene, usd, glb = tmp_path / "blob.r4d", tmp_path / "a.usdc", tmp_path / "a.glb"
    save(object_scene(), scene)
    for target, more in ((usd, ["--to", "usd", *options]), (glb, [])):
        command = ["export", str(scene), "-o", str(target), "--quiet", "--faces", "600", "--texture", "vertex", *more]
        assert main(command) == 0
    folders = [tmp_path / name for name in ("usd", "glb")]
    for folder in folders:
        folder.mkdir()
    told, expected = (in_blender(file, folder, rate=8) for file, folder in zip((usd, glb), folders, strict=True))
    assert told["cameras"] == 1
    # The clip has eight frames a second.  Programs may cut vertices apart for colours: extents say where the shape is.
    for time in SOME:
        shape, other = (np.array(one["vertices"][repr(time)][0]) for one in (told, expected))
        np.testing.assert_allclose(shape.min(0), other.min(0), atol=1e-2)
        np.testing.assert_allclose(shape.max(0), other.max(0), atol=1e-2)
    heights = [np.array(told["vertices"][repr(time)][0])[:, 2].max() for time in SOME]
    assert heights[2] > heights[0] + 0.2
