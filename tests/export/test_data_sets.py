"""Cameras, depth and video: read back by our own readers and by others'."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from recon4d.core import Surfels
from recon4d.data import read_dataset
from recon4d.export.exr import write_exr
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest
from recon4d.export.subject import camera_center
from recon4d.field import Field, IdentityWarp
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene
from tests.export.clients import package
from tests.export.scenes import TIMES, object_scene, ring


@pytest.mark.parametrize("name", ["nerfstudio", "colmap", "colmap-text"])
def test_data_sets_read_back_to_the_same_cameras(name: str, tmp_path: Path) -> None:
    scene = dataclasses.replace(object_scene(), metres_per_unit=0.5)
    export_scene(scene, name, ExportRequest(path=tmp_path / "set"))
    dataset = read_dataset(tmp_path / "set")
    assert dataset.format == name.partition("-")[0]
    assert dataset.metres_per_unit == 0.5
    assert [view.time for view in dataset.views] == pytest.approx(TIMES.tolist())
    for view, camera in zip(dataset.views, scene.cameras, strict=True):
        torch.testing.assert_close(view.camera.cam_from_world, camera.cam_from_world.double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(view.camera.K, camera.K.double(), atol=1e-4, rtol=0)
        assert view.load_image().shape[:2] == (camera.height, camera.width)
    assert len(dataset.points.positions) == 400
    np.testing.assert_allclose(dataset.points.positions, scene.at(0.0).centers, atol=1e-6)


def test_colmap_itself_reads_the_model(tmp_path: Path) -> None:
    pycolmap = package("pycolmap")
    scene = object_scene()
    for name in ("colmap", "colmap-text"):
        export_scene(scene, name, ExportRequest(path=tmp_path / name))
        model = pycolmap.Reconstruction(tmp_path / name / "sparse" / "0")
        assert model.num_points3D() == 400
        for image in model.images.values():
            camera = scene.cameras[int(Path(image.name).stem)]
            np.testing.assert_allclose(image.projection_center(), camera_center(camera), atol=1e-5)


def wall_scene(metres_per_unit: float | None) -> Scene:
    """One large surfel straight before every camera, two units away."""
    surfels = Surfels(
        torch.tensor([[0.0, 0.0, 2.0]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 2), 50.0),
        torch.tensor([0.999]),
        sh=torch.zeros(1, 1, 3),
    )
    cameras = [dataclasses.replace(c, cam_from_world=torch.eye(4)) for c in ring(size=(40, 31))]
    return Scene(
        TIMES, cameras, [Layer("wall", "object", Field(surfels, torch.arange(1), IdentityWarp()))], metres_per_unit
    )


@pytest.mark.parametrize(("scale", "expected"), [(None, 2.0), (0.25, 0.5), (100.0, 200.0)])
def test_depth_is_in_metres_where_the_scale_is_known(scale: float | None, expected: float, tmp_path: Path) -> None:
    export_scene(wall_scene(scale), "depth", ExportRequest(path=tmp_path / "depth"))
    said = json.loads((tmp_path / "depth" / "depth.json").read_text())
    assert said["unit"] == ("metres" if scale else "scene units")
    assert said["png_step"] == (0.001 if scale == 0.25 else pytest.approx(expected / 65535))
    png = cv2.imread(str(tmp_path / "depth" / "depth" / "00004.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(png * said["png_step"], expected, atol=said["png_step"])
    # Our reader brings it back to scene units.
    view = read_dataset(tmp_path / "depth").views[4]
    np.testing.assert_allclose(view.load_depth(), 2.0, atol=2e-3)


def test_depth_in_exr_is_exact_for_other_readers(tmp_path: Path) -> None:
    OpenEXR = package("OpenEXR")
    scene = object_scene()
    export_scene(scene, "depth", ExportRequest(path=tmp_path / "depth", at=0.5))
    with OpenEXR.File(str(tmp_path / "depth" / "depth" / "00000.exr")) as file:
        depth = file.channels()["Z"].pixels
        assert file.header()["unit"] == "scene units"
    assert depth.dtype == np.float32
    state = scene.at(0.5)
    ours = rasterize(state, scene.cameras[4])
    expected = torch.where(ours.alpha >= 0.5, ours.depth, 0.0)[..., 0].numpy()
    np.testing.assert_allclose(depth, expected, atol=1e-5)
    assert (depth > 0).any()

    noise = np.random.default_rng(0).normal(size=(37, 53)).astype(np.float32)
    write_exr(tmp_path / "noise.exr", noise)
    with OpenEXR.File(str(tmp_path / "noise.exr")) as file:
        np.testing.assert_array_equal(file.channels()["Z"].pixels, noise)


def test_video_has_a_frame_for_every_moment(tmp_path: Path) -> None:
    import av

    export_scene(object_scene(), "video", ExportRequest(path=tmp_path / "a.mp4", fps=16.0))
    with av.open(str(tmp_path / "a.mp4")) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == pytest.approx(16)
        assert len(list(video.decode(stream))) == 17
