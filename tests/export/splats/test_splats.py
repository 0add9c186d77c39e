"""Gaussian splats: what is in the files, and what other programs read in them."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.core.spherical_harmonics import evaluate
from recon4d.editors.shapes.assets.ply_table import read_ply
from recon4d.editors.shapes.assets.splats import surfels_of
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest
from recon4d.export.splats.state import splats_at
from recon4d.scene import Layer, Scene
from tests.export.clients import gltf_issues, node_modules, package
from tests.export.scenes import TIMES, layered_scene, object_scene, ring
from tests.export.web.browser import chromium, decoded, psnr_in_subject
from tests.export.web.hard_scenes import twisting_scene

TIME = 0.55


def written(scene: Scene, name: str, path: Path, **request: object) -> Path:
    export_scene(scene, name, ExportRequest(path=path, **request))
    return path


def test_colours_seen_in_the_world_are_those_of_the_scene() -> None:
    # Harmonics of degree 3 under a warp that twists: the file has no canonical frame, so coefficients have to turn.
    scene = twisting_scene()
    state = scene.appearance_at(TIME)
    splats = splats_at(scene.layers, TIME)
    directions = torch.nn.functional.normalize(
        torch.randn(len(state), 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    in_canonical = quaternion.rotate(quaternion.conjugate(state.world_from_canonical_wxyz), directions)
    torch.testing.assert_close(
        evaluate(torch.from_numpy(splats.sh), directions), evaluate(state.sh, in_canonical), atol=2e-5, rtol=0
    )
    assert splats.sh.shape[1] == 16


def test_ply_gives_the_surfels_back(tmp_path: Path) -> None:
    scene = layered_scene()
    path = written(scene, "splats", tmp_path / "a.ply", at=TIME)
    back, state = surfels_of(read_ply(path)), scene.appearance_at(TIME)
    torch.testing.assert_close(back.centers, state.centers)
    torch.testing.assert_close(back.scales, state.scales, rtol=1e-5, atol=0)
    torch.testing.assert_close(back.opacities, state.opacities)
    turns = (quaternion.normalize(back.rotations_wxyz) * quaternion.normalize(state.rotations_wxyz)).sum(-1).abs()
    # The reader may take either tangent first, but the plane and so the normal are one.
    normals = [quaternion.to_matrix(s.rotations_wxyz)[..., 2] for s in (back, state)]
    torch.testing.assert_close((normals[0] * normals[1]).sum(-1).abs(), torch.ones(len(state)))
    assert turns.min() > 0.7


def test_flat_ply_says_so_and_has_two_scales(tmp_path: Path) -> None:
    head = written(object_scene(), "splats-2d", tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode()
    assert "comment SplatRenderMode: 2dgs" in head
    assert "scale_1" in head
    assert "scale_2" not in head


def test_sequence_has_a_file_for_every_moment(tmp_path: Path) -> None:
    scene, folder = object_scene(), tmp_path / "sequence"
    written(scene, "splat-sequence", folder, fps=5.0)
    times = json.loads((folder / "times.json").read_text())
    assert times["seconds"] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    alone = written(scene, "splats", tmp_path / "alone.ply", at=0.6)
    assert (folder / times["files"][3]).read_bytes() == alone.read_bytes()


def test_open_programs_read_the_points(tmp_path: Path) -> None:
    scene = layered_scene()
    path = written(scene, "splats", tmp_path / "a.ply", at=TIME)
    centers = scene.at(TIME).centers.numpy()
    trimesh = package("trimesh")
    np.testing.assert_allclose(trimesh.load(path).vertices, centers, atol=1e-6)
    open3d = package("open3d")
    cloud = open3d.io.read_point_cloud(str(path))
    np.testing.assert_allclose(np.asarray(cloud.points), centers, atol=1e-6)
    assert np.asarray(cloud.normals).shape == centers.shape


def test_splat_transform_reads_and_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = node_modules("@playcanvas/splat-transform") / ".bin"
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    scene = layered_scene()
    path = written(scene, "splats", tmp_path / "a.ply", at=TIME)
    state = scene.appearance_at(TIME)
    numbers = summary(path)
    assert numbers["rows"] == len(state)
    assert numbers["x"] == pytest.approx(ends(state.centers[:, 0]), abs=1e-3)
    assert numbers["opacity"] == pytest.approx(ends(state.opacities), abs=1e-3)
    assert numbers["scale_2"][1] == pytest.approx(0.01 * float(state.scales.min(-1).values.max()), rel=1e-2)
    for name in ("sog", "spz"):
        packed = written(scene, name, tmp_path / f"a.{name}", at=TIME)
        assert summary(packed)["rows"] == len(state)
        assert packed.stat().st_size < path.stat().st_size


def ends(values: torch.Tensor) -> list[float]:
    """Least and greatest."""
    return [float(values.min()), float(values.max())]


def summary(path: Path) -> dict[str, object]:
    """Rows, and least and greatest value of each column, as splat-transform sees them."""
    done = subprocess.run(["splat-transform", str(path), "-m", "null"], capture_output=True, text=True, check=True)
    found: dict[str, object] = {}
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("**Row Count:**"):
            found["rows"] = int(line.split()[-1])
        elif len(cells) > 4 and cells[1] not in ("Column", "") and not cells[1].startswith("-"):
            found[cells[1]] = [float(cells[2]), float(cells[3])]
    return found


def test_without_splat_transform_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm install"):
        written(object_scene(), "sog", tmp_path / "a.sog")
    assert not list(tmp_path.iterdir())


def test_gltf_has_only_the_errors_of_an_unknown_extension(tmp_path: Path) -> None:
    path = written(object_scene(), "splats-glb", tmp_path / "a.glb", at=TIME)
    errors = [issue for issue in gltf_issues(path) if issue["severity"] <= 1]
    # The validator knows no attributes of extensions, and says so for these four and for nothing else.
    attributes = {"ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0"}
    assert {issue["code"] for issue in errors} == {"MESH_PRIMITIVE_INVALID_ATTRIBUTE"}
    assert {issue["pointer"].split(":")[-1] for issue in errors} == attributes


def test_gltf_is_y_up_and_its_colours_turn_along(tmp_path: Path) -> None:
    from recon4d.data.gltf.file import GltfFile

    scene = twisting_scene()
    file = GltfFile(written(scene, "splats-glb", tmp_path / "a.glb", at=TIME))
    accessors = file.items("meshes")[0]["primitives"][0]["attributes"]
    state = scene.appearance_at(TIME)
    x, y, z = state.centers.unbind(-1)
    np.testing.assert_allclose(file.accessor(accessors["POSITION"]), torch.stack([x, z, -y], -1), atol=1e-5)
    names = [f"SH_DEGREE_{band}_COEF_{i}" for band in range(4) for i in range(2 * band + 1)]
    sh = torch.from_numpy(np.stack([file.accessor(accessors[f"KHR_gaussian_splatting:{n}"]) for n in names], 1))
    seen_along = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=1).expand(len(state), 3)
    in_file = torch.stack([seen_along[:, 0], seen_along[:, 2], -seen_along[:, 1]], -1)
    in_canonical = quaternion.rotate(quaternion.conjugate(state.world_from_canonical_wxyz), seen_along)
    torch.testing.assert_close(evaluate(sh, in_file), evaluate(state.sh, in_canonical), atol=2e-5, rtol=0)
    np.testing.assert_allclose(file.accessor(accessors["KHR_gaussian_splatting:SCALE"])[:, :2], state.scales, rtol=1e-5)


def test_spark_shows_the_ply_as_we_do(tmp_path: Path) -> None:
    scene = object_scene(ring(size=(160, 128)))
    camera = scene.cameras[2]
    path = written(scene, "splats", tmp_path / "a.ply", at=TIME)
    (tmp_path / "page.html").write_text('<script src="page.js"></script>')
    modules = node_modules("@sparkjsdev/spark", "three", "esbuild")
    source = Path(__file__).with_name("spark_page.js")
    command = [modules / ".bin" / "esbuild", source, "--bundle", "--format=iife", f"--outfile={tmp_path / 'page.js'}"]
    environment = {**os.environ, "NODE_PATH": str(modules)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    pose = camera.world_from_cam @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    fov = 2 * math.degrees(math.atan(camera.height / 2 / float(camera.K[1, 1])))
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto((tmp_path / "page.html").as_uri())
        ply = base64.b64encode(path.read_bytes()).decode()
        shown = page.evaluate(
            "(values) => show(...values)", [ply, pose.flatten().tolist(), fov, camera.width, camera.height]
        )
    # Spark keeps half floats.
    np.testing.assert_allclose(shown["centers"], scene.at(TIME).centers, atol=1e-3)
    # Its kernel has another blur than ours, which shows at outlines; a wrong axis or turn would give some 10 dB.
    assert psnr_in_subject(decoded(shown["picture"]), scene, camera, TIME) > 20


def test_wrong_scenes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    scene = object_scene()
    field = scene.layers[0].field
    nothing = Scene(TIMES, ring(), [Layer("gone", "object", field.select(torch.zeros(0, dtype=torch.int64)))])
    bad = field.canonical.replace(centers=field.canonical.centers.clone().fill_(float("nan")))
    broken = Scene(TIMES, ring(), [Layer("bad", "object", type(field)(bad, field.ids, field.warp))])
    for wrong in (nothing, broken, Scene(TIMES, ring(), [])):
        for name in ("splats", "splats-glb", "web"):
            with pytest.raises(InputError):
                written(wrong, name, tmp_path / f"a{'.html' if name == 'web' else '.glb' if 'glb' in name else '.ply'}")
    with pytest.raises(InputError, match="one moment"):
        written(scene, "splats", tmp_path / "a.ply", fps=10.0)
    assert not list(tmp_path.iterdir())
