"""Where paths put their cameras."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d import Camera, InputError
from recon4d.export import camera_paths, find_subject
from recon4d.export.pose_track import PoseTrack, fitted_to
from recon4d.export.subject import up_direction
from recon4d.scene import Scene
from tests.export.scenes import TIMES, layered_scene, object_scene, ring


def centers(cameras: list[Camera]) -> np.ndarray:
    return np.stack([camera.center_in_world.double().numpy() for camera in cameras])


def aims(cameras: list[Camera], point: np.ndarray) -> np.ndarray:
    """Pixels by which each camera's image of a point is off the middle of its image."""
    off = []
    for camera in cameras:
        pixel, depth = camera.to(torch.float64).project(torch.from_numpy(point)[None])
        assert depth > 0
        off.append((pixel[0] - torch.tensor([camera.width / 2, camera.height / 2])).norm().item())
    return np.array(off)


def test_the_subject_is_found_between_its_outermost_surfels():
    subject = find_subject(object_scene())
    # The right half rises by up to 0.4, which moves the middle of the box by half of that.
    assert np.abs(subject.middles[0]).max() < 0.05
    assert np.abs(subject.middles[-1] - [0, 0, 0.18]).max() < 0.05
    assert subject.radius == pytest.approx(0.7 * math.sqrt(3), rel=0.15)
    assert subject.distance == pytest.approx(math.sqrt(17), rel=0.03)
    assert subject.elevation == pytest.approx(math.degrees(math.atan2(1 - 0.09, 4)), abs=1.5)
    assert subject.up.tolist() == [0, 0, 1]


def test_the_subject_of_a_scene_of_background_is_what_the_cameras_look_at():
    scene = layered_scene()
    still = Scene(scene.frame_times, scene.cameras, scene.layers[2:])
    middle = find_subject(still).middles[0]
    camera = scene.cameras[len(TIMES) // 2]
    away = middle - camera.center_in_world.double().numpy()
    forward = camera.cam_from_world[2, :3].double().numpy()
    # On the optical axis, where the far wall is.
    assert away @ forward / np.linalg.norm(away) > 0.9999
    assert 8 < np.linalg.norm(away) < 10.5


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (0.6, 0.0, -0.8)])
def test_up_is_what_the_cameras_hold_upright(up: tuple[float, float, float]):
    assert np.degrees(np.arccos(up_direction(ring(150, up=up, height=2.0)) @ np.array(up))) < 1.0


def test_up_of_a_single_view_is_that_of_its_image():
    camera = Camera.look_at([3.0, 0, 0], up=[0, 1.0, 0.2])
    np.testing.assert_allclose(up_direction([camera] * 3), -camera.cam_from_world[1, :3].numpy(), atol=1e-6)


def test_an_orbit_is_a_closed_even_circle_at_the_input_distance():
    scene = object_scene()
    cameras = camera_paths.orbit(scene, [0.5] * 12)
    subject = find_subject(scene)
    middle = subject.middle_at(0.5)
    away = centers(cameras) - middle
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), subject.distance, rtol=1e-6)
    np.testing.assert_allclose(away[:, 2], subject.distance * math.sin(math.radians(subject.elevation)), atol=1e-6)
    angles = np.degrees(np.arctan2(away[:, 1], away[:, 0])) % 360
    np.testing.assert_allclose(np.diff(np.append(angles, angles[0] + 360)) % 360, 30, atol=1e-6)
    assert aims(cameras, middle).max() < 1e-6
    first = centers(scene.cameras)[0]
    assert min(angles[0], 360 - angles[0]) < 2 + abs(math.degrees(math.atan2(first[1], first[0])))
    for camera in cameras:
        assert (camera.width, camera.height) == (64, 48)
        np.testing.assert_allclose(camera.K.numpy(), scene.cameras[0].K.numpy(), rtol=1e-6)


def test_the_options_of_an_orbit():
    scene = object_scene()
    usual = centers(camera_paths.orbit(scene, [0.0] * 8))
    middle = find_subject(scene).middle_at(0.0)
    turned = centers(camera_paths.orbit(scene, [0.0] * 8, start=45.0))
    np.testing.assert_allclose(turned, np.roll(usual, -1, axis=0), atol=1e-9)
    back = centers(camera_paths.orbit(scene, [0.0] * 8, turns=-1.0))
    np.testing.assert_allclose(back[1:], usual[:0:-1], atol=1e-9)
    near = centers(camera_paths.orbit(scene, [0.0] * 8, distance=0.5))
    np.testing.assert_allclose(near - middle, 0.5 * (usual - middle), atol=1e-9)
    high = centers(camera_paths.orbit(scene, [0.0] * 8, elevation=89.0)) - middle
    np.testing.assert_allclose(high[:, 2] / np.linalg.norm(high, axis=1), math.sin(math.radians(89)), atol=1e-9)
    with pytest.raises(InputError, match="elevation"):
        camera_paths.orbit(scene, [0.0], elevation=90.0)
    with pytest.raises(InputError, match="distance"):
        camera_paths.orbit(scene, [0.0], distance=0.0)
    with pytest.raises(InputError, match="layer"):
        camera_paths.orbit(scene, [0.0], layers=["cat"])


def test_an_orbit_follows_a_layer_that_moves():
    scene = layered_scene()
    times = [0.0, 0.5, 1.0]
    for camera, time in zip(camera_paths.orbit(scene, times, layers=["ball"]), times, strict=True):
        assert aims([camera], np.array([-1.0 + 2 * time, -1.2, 0.0])).max() < 1.5


def test_the_input_path_is_exact_at_frame_times_and_smooth_between():
    scene = object_scene()
    exact = camera_paths.input_path(scene, TIMES.tolist())
    for camera, own in zip(exact, scene.cameras, strict=True):
        assert torch.equal(camera.cam_from_world.float(), own.cam_from_world)
        assert torch.equal(camera.K.float(), own.K)
    between = centers(camera_paths.input_path(scene, np.linspace(0, 1, 33).tolist()))
    np.testing.assert_allclose(between[::4], centers(scene.cameras), atol=1e-5)
    # The arc is nearly a circle between its keys too.
    np.testing.assert_allclose(np.linalg.norm(between[:, :2], axis=1), 4.0, atol=0.01)


def test_the_input_path_runs_on_while_time_stands_still():
    scene = object_scene()
    frozen = centers(camera_paths.input_path(scene, [0.5] * len(TIMES)))
    np.testing.assert_allclose(frozen, centers(scene.cameras), atol=1e-5)


def test_cameras_that_jump_are_not_overshot():
    scene = object_scene(ring(8 * 100.0))
    between = centers(camera_paths.input_path(scene, np.linspace(0, 1, 81).tolist()))
    assert np.linalg.norm(between, axis=1).max() <= math.sqrt(17) + 1e-5


def test_a_spiral_stays_near_the_mean_camera_and_closes():
    scene = object_scene(ring(60.0))
    cameras = camera_paths.spiral(scene, [0.0] * 40)
    places = centers(cameras)
    subject = find_subject(scene)
    mean = places.mean(0)
    expected = centers(scene.cameras).mean(0)
    cosine = (mean @ expected) / np.linalg.norm(mean) / np.linalg.norm(expected)
    assert cosine > math.cos(math.radians(5))
    reach = np.linalg.norm(places - mean, axis=1)
    assert 0.02 * subject.distance < reach.max() < 0.25 * subject.distance
    steps = np.linalg.norm(np.diff(np.vstack([places, places[:1]]), axis=0), axis=1)
    assert steps[-1] < 1.5 * np.median(steps)
    assert aims(cameras, subject.middle_at(0.0)).max() < 1e-6


def test_a_spiral_of_cameras_all_around_is_not_taken_from_above():
    scene = object_scene(ring(320.0))
    subject = find_subject(scene)
    away = centers(camera_paths.spiral(scene, [0.0] * 10)) - subject.middle_at(0.0)
    heights = np.degrees(np.arcsin(away[:, 2] / np.linalg.norm(away, axis=1)))
    assert abs(heights.mean() - subject.elevation) < 5


def test_a_dolly_pushes_in_and_a_dolly_zoom_keeps_the_size():
    scene = object_scene(ring(40.0))
    subject = find_subject(scene)
    middle = subject.middle_at(0.0)
    plain = camera_paths.dolly(scene, [0.0] * 9)
    distances = np.linalg.norm(centers(plain) - middle, axis=1)
    assert np.all(np.diff(distances) < 0)
    np.testing.assert_allclose(distances[[0, -1]], np.array([1.15, 0.65]) * subject.distance, rtol=1e-6)
    zoomed = camera_paths.dolly(scene, [0.0] * 9, zoom=True)
    np.testing.assert_allclose(centers(zoomed), centers(plain), atol=1e-9)
    sizes = [float(camera.K[1, 1]) / distance for camera, distance in zip(zoomed, distances, strict=True)]
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-6)


def test_bullet_time_begins_as_the_input_camera_and_goes_around():
    scene = object_scene()
    cameras = camera_paths.bullet_time(scene, TIMES[3].item(), 8)
    assert torch.equal(cameras[0].cam_from_world.float(), scene.cameras[3].cam_from_world)
    middle = find_subject(scene).middle_at(TIMES[3].item())
    away = centers(cameras) - middle
    np.testing.assert_allclose(away[4, :2], -away[0, :2], atol=1e-9)
    np.testing.assert_allclose(away[:, 2], away[0, 2], atol=1e-9)
    # Whatever place in its image the subject has stays its place.
    off = aims(cameras, middle)
    np.testing.assert_allclose(off, off[0], atol=1e-6)
    arc = centers(camera_paths.bullet_time(scene, 0.0, 5, degrees=90.0)) - find_subject(scene).middle_at(0.0)
    assert arc[0, :2] @ arc[-1, :2] == pytest.approx(0, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_another_size_keeps_all_in_view(width: int, height: int):
    camera = Camera.look_at([3.0, 1.0, 1.0], width=64, height=48, dtype=torch.float64)
    other = fitted_to(camera, width, height)
    _, rays = camera.rays()
    corners = rays[[0, 0, -1, -1], [0, -1, 0, -1]] + camera.center_in_world
    pixels, _ = other.project(corners)
    assert bool(((pixels >= 0) & (pixels <= torch.tensor([width, height]))).all())
    assert float(other.K[0, 0] / other.K[1, 1]) == pytest.approx(1.0)
    touching = min(
        width - (pixels[:, 0].max() - pixels[:, 0].min()), height - (pixels[:, 1].max() - pixels[:, 1].min())
    )
    assert float(touching) <= 1.01 * min(width / 64, height / 48)


def test_a_track_passes_through_its_keys():
    cameras = ring(90.0)
    knots = np.cumsum(np.arange(1, len(cameras) + 1)).astype(float)
    track = PoseTrack.through(knots.tolist(), cameras)
    for camera, key in zip(track.at(knots, 64, 48), cameras, strict=True):
        np.testing.assert_allclose(camera.cam_from_world.numpy(), key.cam_from_world.numpy(), atol=2e-6)
        np.testing.assert_allclose(camera.K.numpy(), key.K.numpy(), rtol=1e-6)
