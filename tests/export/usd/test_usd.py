"""USD: surfels, cameras and skinned meshes as USD's own libraries evaluate them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.core.spherical_harmonics import evaluate
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest
from recon4d.scene import Scene
from tests.export.scenes import layered_scene, object_scene, ring
from tests.export.usd.checks import opened
from tests.export.web.hard_scenes import edited_scene, twisting_scene


def written(scene: Scene, name: str, path: Path, **request: object) -> Path:
    export_scene(scene, name, ExportRequest(path=path, **request))
    return path


@pytest.mark.parametrize("suffix", ["usdc", "usda", "usdz"])
def test_surfels_are_a_particle_field_of_surflets(suffix: str, tmp_path: Path) -> None:
    scene = layered_scene()
    stage = opened(written(scene, "usd-surfels", tmp_path / f"a.{suffix}"))
    assert stage.GetEndTimeCode() - stage.GetStartTimeCode() == pytest.approx(8)
    assert stage.GetTimeCodesPerSecond() == pytest.approx(8)
    prim = stage.GetPrimAtPath("/Scene/ball")
    assert prim.GetTypeName() == "ParticleField"
    assert "ParticleFieldKernelGaussianSurfletAPI" in prim.GetAppliedSchemas()
    for code in (0, 3, 8):
        state = scene.layer("ball").field.at(float(scene.frame_times[code]))
        positions = np.array(prim.GetAttribute("positions").Get(code))
        np.testing.assert_allclose(positions, state.centers, atol=1e-6)
        np.testing.assert_allclose(np.array(prim.GetAttribute("scales").Get(code))[:, :2], state.scales, rtol=1e-6)
        np.testing.assert_allclose(np.array(prim.GetAttribute("opacities").Get(code)), state.opacities, rtol=1e-6)
    # The wall stands still, so it is written once.
    wall = stage.GetPrimAtPath("/Scene/wall")
    assert wall.GetAttribute("positions").GetNumTimeSamples() == 0
    assert prim.GetAttribute("positions").GetNumTimeSamples() == 9
    assert prim.GetAttribute("scales").GetNumTimeSamples() == 0


def test_surfels_turn_and_keep_their_colours(tmp_path: Path) -> None:
    scene = twisting_scene()
    stage = opened(written(scene, "usd-surfels", tmp_path / "a.usdc"))
    prim = next(p for p in stage.Traverse() if p.GetTypeName() == "ParticleField")
    assert prim.GetDisplayName() == scene.layers[0].name
    state = scene.appearance_at(float(scene.frame_times[5]))
    turns = torch.tensor([[q.GetReal(), *q.GetImaginary()] for q in prim.GetAttribute("orientations").Get(5)])
    expected = quaternion.normalize(state.rotations_wxyz)
    expected = torch.where(expected[:, :1] < 0, -expected, expected)
    torch.testing.assert_close(turns, expected, atol=1e-6, rtol=0)
    degree = prim.GetAttribute("radiance:sphericalHarmonicsDegree").Get()
    sh = torch.tensor(np.array(prim.GetAttribute("radiance:sphericalHarmonicsCoefficients").Get(5)))
    sh = sh.reshape(len(state), (degree + 1) ** 2, 3)
    view = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=1).expand(len(state), 3)
    in_canonical = quaternion.rotate(quaternion.conjugate(state.world_from_canonical_wxyz), view)
    torch.testing.assert_close(evaluate(sh, view), evaluate(state.sh, in_canonical), atol=2e-5, rtol=0)


def test_what_edits_change_is_sampled(tmp_path: Path) -> None:
    scene = edited_scene()
    stage = opened(written(scene, "usd-surfels", tmp_path / "a.usdc"))
    prim = stage.GetPrimAtPath("/Scene/edited")
    for code in (0, 4, 8):
        state = scene.appearance_at(float(scene.frame_times[code]))
        np.testing.assert_allclose(np.array(prim.GetAttribute("opacities").Get(code)), state.opacities, atol=1e-6)
        np.testing.assert_allclose(np.array(prim.GetAttribute("scales").Get(code))[:, :2], state.scales, rtol=1e-5)


def test_the_camera_sees_what_the_scenes_camera_saw(tmp_path: Path) -> None:
    from pxr import Gf, UsdGeom

    cameras = ring()
    shifted = [dataclasses.replace(c, K=c.K + torch.tensor([[0, 0, 3.0], [0, 5.0, -2.0], [0, 0, 0]])) for c in cameras]
    scene = dataclasses.replace(object_scene(shifted), metres_per_unit=0.25)
    stage = opened(written(scene, "usd-surfels", tmp_path / "a.usdc"))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 0.25
    camera = UsdGeom.Camera.Get(stage, "/Scene/Camera")
    for code in (0, 4, 8):
        seen = camera.GetCamera(code).frustum
        matrix = seen.ComputeViewMatrix() * seen.ComputeProjectionMatrix()
        for point in ([0.0, 0, 0], [0.5, 0.1, -0.2], [-0.3, 0.4, 0.3]):
            x, y, _ = matrix.Transform(Gf.Vec3d(*point))
            pixel, _ = shifted[code].project(torch.tensor([point]))
            width, height = shifted[code].width, shifted[code].height
            assert [(x + 1) / 2 * width, (1 - y) / 2 * height] == pytest.approx(pixel[0].tolist(), abs=1e-2)


def test_names_of_all_kinds_become_paths(tmp_path: Path) -> None:
    layer = object_scene().layers[0]
    names = ["../../x", "../..:x", "猫", "1 2"]
    scene = dataclasses.replace(object_scene(), layers=[dataclasses.replace(layer, name=name) for name in names])
    stage = opened(written(scene, "usd-surfels", tmp_path / "a.usda", at=0.5))
    assert [p.GetDisplayName() for p in stage.Traverse() if p.GetTypeName() == "ParticleField"] == names
    assert stage.GetPrimAtPath("/Scene").GetAllChildrenNames()[-1] == "Camera"


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(InputError, match=r"pip install 'recon4d\[usd\]'"):
        written(object_scene(), "usd-surfels", tmp_path / "a.usdc")
    assert not list(tmp_path.iterdir())
