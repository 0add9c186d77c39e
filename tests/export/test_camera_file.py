"""Camera paths from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d import Camera, InputError
from recon4d.export import CameraFile, read_camera_file

LENS = Camera.look_at([1.0, 0, 0], fov_y_degrees=40, width=80, height=60, dtype=torch.float64)
UP = np.array([0.0, 0.0, 1.0])
KEYS = [
    {"time": 0, "position": [3, 0, 1], "look_at": [0, 0, 0.5]},
    {"time": 1, "position": [0, 3, 1], "look_at": [0, 0, 0.5], "fov_degrees": 30},
    {"time": 3, "position": [-3, 0, 1], "look_at": [0, 0, 0.5]},
]
OPENGL = np.diag([1.0, -1, -1, 1])


def own(**changes: object) -> dict[str, object]:
    return {"format": "recon4d-camera-path", "version": 1, "keyframes": KEYS} | changes


def read(tmp_path: Path, content: object) -> CameraFile:
    path = tmp_path / "path.json"
    path.write_text(json.dumps(content))
    return read_camera_file(path, LENS, UP)


def fov(camera: Camera) -> float:
    return float(2 * torch.atan(camera.height / 2 / camera.K[1, 1]).rad2deg())


def test_stations_are_passed_on_time(tmp_path):
    file = read(tmp_path, own())
    assert file.seconds == 3
    assert file.times(4) is None
    cameras = file.cameras(4)  # at 0, 1, 2 and 3 seconds
    for camera, key in zip((cameras[0], cameras[1], cameras[3]), KEYS, strict=True):
        expected = Camera.look_at(key["position"], key["look_at"], dtype=torch.float64)
        np.testing.assert_allclose(camera.cam_from_world.numpy(), expected.cam_from_world.numpy(), atol=1e-9)
        assert fov(camera) == pytest.approx(key.get("fov_degrees", 40.0))
        assert (camera.width, camera.height) == (80, 60)
    # In between too, the target stays in the middle of the image.
    for camera in file.cameras(31):
        pixel, depth = camera.project(torch.tensor([[0, 0, 0.5]], dtype=torch.float64))
        assert depth > 0
        np.testing.assert_allclose(pixel[0].numpy(), [40, 30], atol=1e-8)


def test_the_path_between_stations_is_smooth(tmp_path):
    places = np.stack([camera.center_in_world.numpy() for camera in read(tmp_path, own()).cameras(301)])
    acceleration = np.diff(places, n=2, axis=0)
    assert np.abs(np.diff(acceleration, axis=0)).max() < 1e-4


def test_rotations_and_targets_may_be_mixed(tmp_path):
    turned = {"time": 2, "position": [0, 0, 0], "rotation_wxyz": [2, 0, 0, 0], "fov_degrees": 60}
    cameras = read(tmp_path, own(keyframes=[KEYS[0], turned], up=[0, 0, 2], fov_degrees=50)).cameras(3)
    np.testing.assert_allclose(cameras[-1].cam_from_world.numpy(), np.eye(4), atol=1e-9)
    assert [fov(cameras[0]), fov(cameras[-1])] == pytest.approx([50, 60])


def test_scene_times_never_run_backwards_between_forward_keys(tmp_path):
    keys = [key | {"scene_time": time} for key, time in zip(KEYS, (0.0, 0.9, 1.0), strict=True)]
    times = read(tmp_path, own(keyframes=keys)).times(31)
    assert times is not None
    assert (times[0], times[10], times[-1]) == pytest.approx((0.0, 0.9, 1.0))
    assert np.all(np.diff(times) >= 0)


def test_a_single_station_stands_still(tmp_path):
    file = read(tmp_path, own(keyframes=KEYS[:1]))
    assert file.seconds == 0
    first, second = file.cameras(2)
    assert torch.equal(first.cam_from_world, second.cam_from_world)


def test_the_export_of_nerfstudio_is_read_frame_by_frame(tmp_path):
    cameras = [Camera.look_at([3, 0.2 * i, 1], fov_y_degrees=45 + i, dtype=torch.float64) for i in range(6)]
    content = {
        "camera_type": "perspective",
        "render_width": 100,
        "render_height": 50,
        "fps": 12,
        "camera_path": [
            {"camera_to_world": (camera.world_from_cam.numpy() @ OPENGL).ravel().tolist(), "fov": 45 + i, "aspect": 2}
            for i, camera in enumerate(cameras)
        ],
    }
    file = read(tmp_path, content)
    assert (file.fps, file.seconds) == (12, 0.5)
    for read_camera, camera, i in zip(file.cameras(6), cameras, range(6), strict=True):
        np.testing.assert_allclose(read_camera.cam_from_world.numpy(), camera.cam_from_world.numpy(), atol=1e-9)
        assert (read_camera.width, read_camera.height) == (100, 50)
        assert fov(read_camera) == pytest.approx(45 + i)


def test_a_transforms_file_is_read_with_its_lenses_and_times(tmp_path):
    camera = Camera.look_at([3, 1, 1], dtype=torch.float64)
    pose = (camera.world_from_cam.numpy() @ OPENGL).tolist()
    content = {
        "w": 64, "h": 32, "fl_x": 50, "fl_y": 55, "cx": 30, "cy": 17,
        "frames": [{"file_path": "none.png", "transform_matrix": pose, "time": 0.5}],
    }  # fmt: skip
    file = read(tmp_path, content)
    (found,) = file.cameras(1)
    np.testing.assert_allclose(found.cam_from_world.numpy(), camera.cam_from_world.numpy(), atol=1e-9)
    np.testing.assert_allclose(found.K.numpy(), [[50, 0, 30], [0, 55, 17], [0, 0, 1]], atol=1e-9)
    assert file.times(2) == [0.5, 0.5]
    (angled,) = read(tmp_path, {"camera_angle_x": 1.0, "frames": [{"transform_matrix": pose}]}).cameras(1)
    assert float(2 * torch.atan(40 / angled.K[0, 0])) == pytest.approx(1.0)


def changed(index: int, **values: object) -> dict[str, object]:
    return own(keyframes=[key | (values if i == index else {}) for i, key in enumerate(KEYS)])


SCALED = np.diag([2.0, 2, 2, 1]).tolist()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "object"),
        ({}, "the keys of nothing"),
        ({"something": 1}, "something"),
        (own(version=2), "version"),
        (own(keyframes=[]), "keyframes"),
        (own(keyframes={}), "keyframes"),
        (own(up=[0, 0, 0]), "up"),
        (own(fov_degrees=180), "fov_degrees"),
        (changed(1, time=0), r"keyframes\[1\].time"),
        (changed(1, time="soon"), r"keyframes\[1\].time"),
        (changed(2, position=[1, 2]), r"keyframes\[2\].position"),
        (changed(2, position=[1, 2, None]), r"keyframes\[2\].position"),
        (changed(0, look_at=[3, 0, 1]), r"keyframes\[0\].look_at"),
        (changed(0, look_at=None), r"keyframes\[0\].*neither"),
        (changed(0, rotation_wxyz=[1, 0, 0, 0]), r"keyframes\[0\].*both"),
        (changed(0, look_at=None, rotation_wxyz=[0, 0, 0, 0]), r"keyframes\[0\].rotation_wxyz"),
        (changed(0, fov_degrees=-5), r"keyframes\[0\].fov_degrees"),
        (changed(0, scene_time=1), "scene_time in every key"),
        ({"camera_path": [{"camera_to_world": [1, 2]}]}, "camera_to_world"),
        ({"camera_path": [{"camera_to_world": SCALED}]}, "camera_to_world"),
        ({"camera_path": [], "fps": 1}, "camera_path"),
        ({"camera_path": [{}], "camera_type": "fisheye"}, "camera_type"),
        ({"frames": [{"transform_matrix": SCALED}]}, "transform_matrix"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_place(tmp_path, content, named):
    with pytest.raises(InputError, match=named):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json"):
        read_camera_file(tmp_path / "gone.json", LENS, UP)
