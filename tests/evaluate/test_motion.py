"""Tracks, ActionBench's distances, cameras and stability over time, with disturbances whose score is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import Camera, InputError, quaternion
from recon4d.core.rigid import Similarity
from recon4d.evaluate import (
    FlickerMeter,
    actionbench_scores,
    align_cameras,
    camera_errors,
    carry_points,
    id_persistence,
    move_camera,
    track_scores,
)


def blob(points: int, seed: int = 0) -> np.ndarray:
    """Points of an ellipsoid with a longest side of 2 that touches [-1, 1] in x, so that lengths are ActionBench's."""
    x = np.random.default_rng(seed).normal(size=(points - 2, 3))
    x *= np.array([1.0, 0.6, 0.3]) / np.linalg.norm(x, axis=1, keepdims=True)
    return np.concatenate([x, [[1, 0, 0], [-1, 0, 0]]])


def turn(axis: tuple[float, float, float], degrees: float) -> torch.Tensor:
    vector = torch.tensor(axis, dtype=torch.float64)
    return quaternion.exp(vector / vector.norm() * math.radians(degrees))


# ------------------------------------------------------------------------------------------------------------- tracks


@pytest.mark.parametrize(("offset", "delta_5", "delta_10"), [(0.0, 1, 1), (0.08, 1, 1), (0.14, 0, 1), (0.3, 0, 0)])
def test_a_constant_track_offset(offset: float, delta_5: float, delta_10: float) -> None:
    truth = np.random.default_rng(0).normal(size=(6, 40, 3))
    scores = track_scores(truth + np.array([0, offset, 0]), truth, diagonal=2)
    assert scores.error_percent == pytest.approx(100 * offset / 2)
    assert (scores.delta_5, scores.delta_10) == (delta_5, delta_10)


def test_the_reference_time_is_left_out() -> None:
    truth = np.zeros((3, 5, 3))
    prediction = truth.copy()
    prediction[1:] += [0, 0, 1.0]
    assert track_scores(prediction, truth, 10).error_percent == pytest.approx(100 * (2 / 3) / 10)
    assert track_scores(prediction, truth, 10, reference=0).error_percent == pytest.approx(10)


def test_points_ride_on_their_surfel() -> None:
    """Surfels on a moving, turning body carry its points exactly; a surfel that may not be used carries nothing."""
    times = 5
    surface = blob(400, 1)
    rotations = torch.stack([turn((1, 2, 3), 20.0 * t) for t in range(times)])
    shifts = torch.stack([torch.tensor([0.1 * t, 0.0, -0.2 * t], dtype=torch.float64) for t in range(times)])
    body = torch.from_numpy(surface)
    centers = quaternion.rotate(rotations[:, None], body[None]) + shifts[:, None]
    own = quaternion.normalize(torch.randn(400, 4, dtype=torch.float64, generator=torch.manual_seed(0)))
    wxyz = quaternion.multiply(rotations[:, None], own[None])
    points = blob(50, 2)
    truth = quaternion.rotate(rotations[:, None], torch.from_numpy(points)[None]) + shifts[:, None]
    # A still surfel in the way of every point is not usable.
    centers = torch.cat([centers, torch.zeros(times, 1, 3, dtype=torch.float64)], 1)
    wxyz = torch.cat([wxyz, wxyz[:1, :1].expand(times, 1, 4)], 1)
    usable = np.arange(401) < 400
    for reference in (0, 3):
        carried = carry_points(truth[reference].numpy(), centers, wxyz, reference, usable)
        assert np.abs(carried - truth.numpy()).max() < 1e-12
    stuck = carry_points(np.zeros((1, 3)), centers[:, 400:], wxyz[:, 400:], 0)
    assert np.abs(stuck).max() == 0
    with pytest.raises(InputError, match="usable"):
        carry_points(points, centers, wxyz, 0, np.zeros(401, dtype=bool))


# -------------------------------------------------------------------------------------------------------- ActionBench


def test_the_truth_scores_zero() -> None:
    truth = np.stack([blob(300) + np.array([0, 0, 0.1 * t]) for t in range(3)])
    scores = actionbench_scores(truth, truth)
    assert (scores.cd_3d, scores.cd_4d, scores.cd_m) == (0, 0, 0)


def test_a_drift_leaves_cd_3d_but_shows_in_cd_4d_and_cd_m() -> None:
    truth = np.stack([blob(500)] * 3)
    drift = np.array([0.0, 0.0, 0.02])
    prediction = np.stack([truth[t] + t * drift for t in range(3)])
    scores = actionbench_scores(prediction, truth)
    assert scores.cd_3d < 1e-6
    # The pairs of the first frame are the points themselves: 2 x mean of 0, 0.02, 0.04.
    assert scores.cd_m == pytest.approx(2 * 0.02, rel=1e-6)
    assert 0 < scores.cd_4d <= scores.cd_m + 1e-9


def test_points_that_change_places_show_in_cd_m_only() -> None:
    truth = np.stack([blob(400)] * 2)
    tracks = truth.copy()
    tracks[1] = tracks[1] * [-1, 1, 1]
    symmetric = np.stack([np.concatenate([f, f * [-1, 1, 1]]) for f in truth])
    scores = actionbench_scores(symmetric, symmetric, np.concatenate([tracks, tracks * [-1, 1, 1]], axis=1))
    assert scores.cd_3d == 0
    assert scores.cd_4d == 0
    expected = 2 * np.linalg.norm(truth[0] - truth[0] * [-1, 1, 1], axis=1).mean() / 2
    assert scores.cd_m == pytest.approx(expected)


def test_alignment_undoes_axes_scale_and_place() -> None:
    shape = blob(600) * [1, 1, 1] + np.where(blob(600)[:, :1] > 0.4, [0, 0.3, 0.2], 0.0)
    truth = np.stack([shape, shape * [1, 1.1, 1]])
    other = (truth[..., [2, 0, 1]] * [1, -1, -1]) * 1.1 + [0.2, 0.1, -0.1]
    plain, turned = actionbench_scores(other, truth), actionbench_scores(other, truth, any_orientation=True)
    assert turned.cd_3d < 0.01
    assert turned.cd_4d < 0.1
    assert plain.cd_3d > 0.05


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (
            lambda: track_scores(np.zeros((2, 3)), np.zeros((2, 3)), 1),
            r"prediction: expected floating point \[T, N, 3\]",
        ),
        (lambda: track_scores(np.zeros((2, 4, 3)), np.zeros((2, 5, 3)), 1), r"truth's shape \[2, 5, 3\]"),
        (lambda: track_scores(np.zeros((2, 4, 3)), np.full((2, 4, 3), np.inf), 1), "truth: expected finite"),
        (lambda: track_scores(np.zeros((1, 4, 3)), np.zeros((1, 4, 3)), 1, reference=0), "reference"),
        (lambda: track_scores(np.zeros((2, 4, 3)), np.zeros((2, 4, 3)), 0), "diagonal"),
        (lambda: actionbench_scores(np.zeros((2, 4, 3)), np.zeros((3, 4, 3))), "3 times as in truth"),
        (lambda: actionbench_scores(np.zeros((2, 4, 3)), np.zeros((2, 4, 3))), "points that are apart"),
    ],
)
def test_bad_tracks_are_refused_in_one_line(call: object, wrong: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=wrong) as caught:
        call()
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ cameras


def orbit(count: int = 8, height: float = 0.5) -> list[Camera]:
    angles = [2 * math.pi * i / count for i in range(count)]
    return [
        Camera.look_at((3 * math.cos(a), 3 * math.sin(a), height), width=64, height=48, dtype=torch.float64)
        for a in angles
    ]


def line(count: int = 5) -> list[Camera]:
    return [
        Camera.look_at((0.2 * i, -3.0, 0.0), (0.2 * i, 0.0, 0.0), width=64, height=48, dtype=torch.float64)
        for i in range(count)
    ]


def rolled(camera: Camera, degrees: float) -> Camera:
    """The camera turned about its own viewing axis."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = quaternion.to_matrix(turn((0, 0, 1), degrees))
    return Camera(camera.K, matrix @ camera.cam_from_world, camera.width, camera.height)


SIMILARITY = Similarity(
    torch.tensor(1.7, dtype=torch.float64), turn((3, -1, 2), 50), torch.tensor([1.0, -2, 0.5]).double()
)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 170))
def test_rotated_cameras_are_off_by_that_angle(degrees: float) -> None:
    truth = orbit()
    errors = camera_errors([rolled(c, degrees) for c in truth], truth)
    assert errors.rotation_deg == pytest.approx(degrees, rel=1e-6)
    assert errors.translation_percent == pytest.approx(0, abs=1e-9)


def test_moved_cameras_are_off_by_that_distance() -> None:
    truth = orbit()
    shift = Similarity(torch.tensor(1.0).double(), turn((1, 0, 0), 0), torch.tensor([0.0, 0.0, 0.06]).double())
    errors = camera_errors([move_camera(c, shift) for c in truth], truth)
    assert errors.rotation_deg == pytest.approx(0, abs=1e-6)
    assert errors.translation_percent == pytest.approx(100 * 0.06 / (6 * math.sqrt(2)))


@pytest.mark.parametrize("path", [orbit, line])
def test_alignment_finds_the_similarity(path: object) -> None:
    assert callable(path)
    truth = path()
    inverse = SIMILARITY.inverse()
    scene = [move_camera(c, inverse) for c in truth]
    found = align_cameras(scene, truth)
    assert float(found.scale) == pytest.approx(1.7)
    assert torch.allclose(found.translation, SIMILARITY.translation, atol=1e-9)
    errors = camera_errors([move_camera(c, found) for c in scene], truth)
    assert errors.rotation_deg == pytest.approx(0, abs=1e-6)
    assert errors.translation_percent == pytest.approx(0, abs=1e-6)


def test_a_camera_that_stands_still_is_aligned_without_scale() -> None:
    truth = [orbit()[0]] * 4
    rigid = Similarity(torch.tensor(1.0).double(), SIMILARITY.rotation_wxyz, SIMILARITY.translation)
    scene = [move_camera(c, rigid.inverse()) for c in truth]
    found = align_cameras(scene, truth)
    assert float(found.scale) == 1
    errors = camera_errors([move_camera(c, found) for c in scene], truth)
    assert errors.rotation_deg == pytest.approx(0, abs=1e-6)
    assert errors.translation_percent is None


def test_a_moved_camera_sees_the_moved_world_where_it_was() -> None:
    camera = orbit()[1]
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.manual_seed(1))
    pixels, depth = camera.project(points)
    moved_pixels, moved_depth = move_camera(camera, SIMILARITY).project(SIMILARITY.transform_points(points))
    assert torch.allclose(moved_pixels, pixels, atol=1e-9)
    assert torch.allclose(moved_depth, 1.7 * depth, atol=1e-9)


def test_cameras_must_be_paired() -> None:
    with pytest.raises(InputError, match="cameras: expected one for each of the 8"):
        camera_errors(orbit()[:3], orbit())
    with pytest.raises(InputError, match="cameras"):
        align_cameras([], [])


# ---------------------------------------------------------------------------------------------------------- stability


def test_a_constant_error_does_not_flicker_and_a_blinking_one_does() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(40, 200, (5, 8, 9, 3), dtype=np.uint8)
    steady, blinking = FlickerMeter(), FlickerMeter()
    assert steady.value is None
    for index, frame in enumerate(frames):
        steady.add(frame + np.uint8(20), frame)
        blinking.add(frame + np.uint8(6 * (index % 2)), frame)
    assert steady.value == pytest.approx(0, abs=1e-9)
    assert blinking.value == pytest.approx(6)


def test_flicker_keeps_cameras_apart() -> None:
    meter = FlickerMeter()
    black = np.zeros((4, 4, 3), dtype=np.uint8)
    for _ in range(3):
        meter.add(black, black, "left")
        meter.add(black + np.uint8(50), black, "right")
    assert meter.value == pytest.approx(0)
    with pytest.raises(InputError, match="size of the frame before, 4x4"):
        meter.add(black[:2], black[:2], "left")


def test_id_persistence_is_the_share_kept() -> None:
    ids = np.array([7, 3, 9])
    assert id_persistence([ids, ids[::-1].copy()], [np.array([1.0, 2, 5]), np.array([10.0, 4, 2])]) == pytest.approx(1)
    assert id_persistence([ids, ids + 100], [np.ones(3), np.ones(3)]) == 0
    # 7 fades from 1/2 to 1/4 while 3 grows from 1/2 to 3/4: three quarters are kept; then nothing changes.
    two = np.array([7, 3])
    steps = [np.array([1.0, 1]), np.array([1.0, 3]), np.array([1.0, 3])]
    assert id_persistence([two] * 3, steps) == pytest.approx((0.75 + 1) / 2)


@pytest.mark.parametrize(
    ("ids", "amounts"),
    [([1, 1], [1.0, 1.0]), ([1, 2], [0.0, 0.0]), ([1, 2], [1.0, -1.0]), ([1, 2], [1.0, np.nan]), ([1, 2], [1.0])],
)
def test_bad_contributions_are_refused(ids: list[int], amounts: list[float]) -> None:
    good = np.array([1, 2]), np.array([1.0, 1.0])
    with pytest.raises(InputError, match="time index 1"):
        id_persistence([good[0], np.array(ids)], [good[1], np.array(amounts)])
    with pytest.raises(InputError, match="at least two times"):
        id_persistence([good[0]], [good[1]])
