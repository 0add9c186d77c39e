"""Exported .glb files in programs of other people: a game engine, and two libraries for meshes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from recon4d.export.gltf.exporter import glb_of
from recon4d.export.mesh.layers import mesh_layers
from recon4d.export.request import ExportRequest
from tests.export.clients import package, program
from tests.export.gltf.files import Glb
from tests.export.scenes import TIMES, object_scene

# Prints what a running game finds in the imported scene, as one line of JSON.
_SCRIPT = """
extends SceneTree

func _init():
    var root = load("res://thing.glb").instance()
    var told = {"bones": 0, "clips": [], "meshes": [], "names": []}
    var todo = [root]
    while todo:
        var node = todo.pop_back()
        told["names"].append(node.get_class())
        if node is Skeleton:
            told["bones"] = node.get_bone_count()
        if node is MeshInstance:
            var arrays = node.mesh.surface_get_arrays(0)
            told["meshes"].append({
                "vertices": arrays[ArrayMesh.ARRAY_VERTEX].size(),
                "indices": arrays[ArrayMesh.ARRAY_INDEX].size(),
                "weights": arrays[ArrayMesh.ARRAY_WEIGHTS].size() if arrays[ArrayMesh.ARRAY_WEIGHTS] != null else 0,
                "shapes": node.mesh.get_blend_shape_count(),
            })
        if node is AnimationPlayer:
            for name in node.get_animation_list():
                var clip = node.get_animation(name)
                told["clips"].append({"length": clip.length, "tracks": clip.get_track_count()})
        for child in node.get_children():
            todo.append(child)
    print("TOLD " + to_json(told))
    quit()
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("clients") / "thing.glb"
    scene = object_scene()
    made = mesh_layers(scene, ExportRequest(path, faces=600, texture=64))
    path.write_bytes(glb_of(scene, made, "thing")[0])
    return made, path


def test_godot_has_the_skeleton_the_clip_and_its_tracks(exported, tmp_path):
    made, path = exported
    told = _in_godot(path, tmp_path)
    (layer,) = made.layers
    assert told["bones"] == len(layer.bones) + 1
    (mesh,) = told["meshes"]
    assert mesh["indices"] == layer.cut.faces.size
    assert mesh["weights"] == 4 * mesh["vertices"]
    (clip,) = told["clips"]
    assert clip["length"] == pytest.approx(float(TIMES[-1] - TIMES[0]), abs=1e-3)
    # One track for each node that moves: the bone that rises, and the camera.
    (animation,) = Glb(path).document["animations"]
    assert clip["tracks"] == len({channel["target"]["node"] for channel in animation["channels"]}) == 2
    assert "Camera" in told["names"]


def _in_godot(path: Path, folder: Path) -> dict:
    """What Godot 3 finds in a .glb that its editor has imported into a project."""
    godot = program("godot3-server")
    (folder / "project.godot").write_text('config_version=4\n[application]\nconfig/name="check"\n')
    (folder / "thing.glb").write_bytes(path.read_bytes())
    (folder / "tell.gd").write_text(_SCRIPT)
    home = folder / "home"
    home.mkdir()
    places = {name: str(home) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    start = [godot, "--path", str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # Told to quit, the editor does so before it has looked at the files on a busy machine.
    with subprocess.Popen([*start, "--editor"], env=os.environ | places, **quiet) as editor:
        try:
            for _ in range(240):
                if list((folder / ".import").glob("thing.glb-*.md5")):
                    break
                time.sleep(0.5)
        finally:
            editor.kill()
    done = subprocess.run(
        [*start, "--script", "res://tell.gd"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | places,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(lines[0].removeprefix("TOLD "))


def test_trimesh_reads_shape_and_texture(exported):
    trimesh = package("trimesh")
    made, path = exported
    (layer,) = made.layers
    (mesh,) = trimesh.load(path).geometry.values()
    assert mesh.faces.shape == layer.cut.faces.shape
    assert mesh.visual.uv.shape == (len(layer.cut.origin), 2)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx(np.ptp(layer.mesh.vertices, axis=0)[[0, 2, 1]], abs=1e-4)
    welded = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    assert welded.is_watertight
    assert welded.is_winding_consistent
    assert welded.volume > 0


def test_open3d_reads_the_triangles(exported):
    open3d = package("open3d")
    made, path = exported
    mesh = open3d.io.read_triangle_mesh(str(path))
    assert len(mesh.triangles) == len(made.layers[0].mesh.faces)
    assert mesh.has_triangle_uvs()
