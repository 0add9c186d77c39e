"""Cameras from pictures of a textured room and cube, seen by cameras that are known."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch

from recon4d.core import Camera, InputError
from recon4d.core.rigid import align_similarity
from recon4d.data.motion import CameraSettings, IngestSettings, ingest, solve_cameras, track_points
from recon4d.data.motion.cameras import between, gates, solve
from recon4d.data.motion.cameras.mapping import Model, map_tracks
from recon4d.data.motion.cameras.rotation import turning_camera
from tests.data.moving_scene import HEIGHT, WIDTH, box_room, walking_cameras
from tests.data.test_motion_ingest import write_images


def poses_of(cameras) -> np.ndarray:
    return np.stack([camera.cam_from_world.numpy() for camera in cameras])


def rotation_errors(cameras, truth) -> np.ndarray:
    """Degrees, after the one rotation that aligns all orientations best."""
    ours, true = poses_of(cameras)[:, :3, :3], poses_of(truth)[:, :3, :3]
    u, _, vt = np.linalg.svd(np.einsum("tji,tjk->ik", true, ours))
    world = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    relative = np.einsum("tij,jk,tlk->til", true, world, ours)
    return np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    truth = walking_cameras(14)
    folder = write_images(tmp_path_factory.mktemp("walk") / "d", box_room(truth))
    clip = ingest(folder, IngestSettings(max_keyframes=8, keyframe_motion_percent=0.5))
    work = tmp_path_factory.mktemp("work")
    return clip, truth, work, solve_cameras(clip, work=work)


def test_a_walk_around_a_scene(walk):
    clip, truth, _, solution = walk
    health = solution.health
    assert health.chosen == "scene"
    assert health.confident
    assert health.solved_share == 1.0
    assert len(solution.cameras) == 14 > len(clip.keyframes)
    assert rotation_errors(solution.cameras, truth).max() < 1.0
    ours = torch.stack([camera.center_in_world for camera in solution.cameras])
    true = torch.stack([camera.center_in_world for camera in truth])
    aligned = align_similarity(ours, true)
    assert (aligned.transform_points(ours) - true).norm(dim=-1).max() < 0.1
    assert float(solution.cameras[0].K[0, 0]) == pytest.approx(float(truth[0].K[0, 0]), rel=0.05)
    assert health.focal_source == "solved"
    assert 5 < health.range_degrees < 45
    for camera in solution.cameras:
        assert torch.equal(camera.K, solution.cameras[0].K)


def test_points_project_onto_their_tracks(walk):
    clip, _, work, solution = walk
    from recon4d.data.motion.cameras.solve import _SCENE_TRACKS

    tracks = track_points(clip, None, _SCENE_TRACKS, work=work)
    positions, visible = tracks.dense()
    for frame, camera in enumerate(solution.cameras):
        seen = visible[solution.point_ids, frame]
        pixels, depth = camera.project(torch.from_numpy(solution.points[seen]))
        error = np.linalg.norm(pixels.numpy() - positions[solution.point_ids[seen], frame], axis=1)
        assert (depth > 0).all()
        assert np.median(error) < 0.5


def test_the_world_is_tidy(walk):
    solution = walk[3]
    up = -poses_of(solution.cameras)[:, 1, :3].mean(0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(np.median(solution.points, axis=0), 0, atol=0.5)
    assert np.percentile(np.linalg.norm(solution.points, axis=1), 90) == pytest.approx(1, rel=0.1)


def test_solutions_are_cached_and_repeat(walk):
    clip, _, work, solution = walk
    calls = []
    again = solve_cameras(clip, work=work, progress=lambda *call: calls.append(call))
    assert calls == []
    assert again.health == solution.health
    np.testing.assert_array_equal(poses_of(again.cameras), poses_of(solution.cameras))
    np.testing.assert_array_equal(again.points, solution.points)
    fresh = solve_cameras(clip)
    np.testing.assert_array_equal(poses_of(fresh.cameras), poses_of(solution.cameras))


def test_attempts_are_kept_where_the_stage_did_not_end(walk, monkeypatch):
    clip, _, work, solution = walk
    for path in work.glob("cameras-*"):
        shutil.rmtree(path)
    assert list(work.glob("attempt-*"))

    def never(*_, **__) -> None:
        raise AssertionError("what was kept is solved again")

    monkeypatch.setattr(solve, "map_tracks", never)
    again = solve_cameras(clip, work=work)
    assert again.health == solution.health
    assert np.array_equal(poses_of(again.cameras), poses_of(solution.cameras))
    assert np.array_equal(again.point_ids, solution.point_ids)


def test_mapping_sums_in_one_order_and_works_in_the_work_folder(walk, monkeypatch, tmp_path):
    clip, _, work, _ = walk
    tracks = track_points(clip, None, solve._SCENE_TRACKS, work=work)
    plain, threads, folders = pycolmap.bundle_adjustment, [], []

    def adjust(model, options):
        threads.append(options.ceres.solver_options.num_threads)
        folders.extend(path.name for path in tmp_path.iterdir())
        plain(model, options)

    monkeypatch.setattr(pycolmap, "bundle_adjustment", adjust)
    size = (clip.width, clip.height)
    map_tracks(
        tracks, clip.keyframes, size, 1.2 * max(size), refine_focal=False, refine_at_end=True, seed=0, max_seconds=60,
        scratch=tmp_path,
    )  # fmt: skip
    assert threads == [1]
    assert [name.startswith(".recon4d-sfm-") for name in folders] == [True]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on files")
def test_a_full_disk_is_not_taken_for_nothing_to_register(tmp_path):
    lines = [
        "import resource, sys",
        "from pathlib import Path",
        "import numpy as np",
        "from recon4d.data.files import StorageError",
        "from recon4d.data.motion.cameras.mapping import map_tracks",
        "from recon4d.data.motion.tracks import Tracks",
        "tracks = Tracks(np.ones((3, 2), np.float32), np.arange(3), np.zeros(3, int), 1, 3, 'key')",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
        "try:",
        "    map_tracks(tracks, np.arange(3), (64, 48), 70.0, refine_focal=False, seed=0, max_seconds=9,"
        " scratch=Path(sys.argv[1]))",
        "except StorageError as error:",
        "    print(error)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"{tmp_path}: expected room for the work files, got COLMAP's "), done.stderr


def test_a_subject_that_turns_before_a_plain_background(tmp_path):
    truth = walking_cameras(14, degrees=50)
    frames = box_room(truth, room=False)
    masks = (frames < 255).any(-1)
    clip = ingest(write_images(tmp_path / "d", frames, masks), IngestSettings(max_keyframes=10))
    solution = solve_cameras(clip, clip.masks)
    assert solution.health.chosen == "object"
    assert solution.health.background.plain
    assert rotation_errors(solution.cameras, truth).max() < 3.0
    # Seen from the middle of the points, which lie on the near faces, the way is a little wider than 50 degrees.
    assert 45 < solution.health.range_degrees < 75
    assert any("views beyond are guesses" in text for text in solution.health.warnings)


def test_a_camera_that_only_turns(tmp_path):
    truth = walking_cameras(8, degrees=14, turn_only=True)
    # Out of the cube, which would hide the room.
    moved = [shifted(camera, (0.0, -3.0, 0.0)) for camera in truth]
    clip = ingest(write_images(tmp_path / "d", box_room(moved)))
    solution = solve_cameras(clip, settings=CameraSettings(max_seconds=5))
    assert solution.health.chosen == "rotation"
    assert rotation_errors(solution.cameras, truth).max() < 1.5
    centers = torch.stack([camera.center_in_world for camera in solution.cameras])
    assert (centers - centers[0]).norm(dim=-1).max() < 1e-9
    assert any("no depth" in text for text in solution.health.warnings)
    tracks = track_points(clip)
    K = float(truth[0].K[0, 0])
    turning = turning_camera(tracks, clip.keyframes, (WIDTH, HEIGHT), K, solve_focal=False)
    assert turning.error < 0.3


def shifted(camera: Camera, by: tuple[float, float, float]) -> Camera:
    pose = camera.cam_from_world.clone()
    pose[:3, 3] -= pose[:3, :3] @ torch.tensor(by, dtype=torch.float64)
    return Camera(camera.K, pose, camera.width, camera.height)


def test_a_still_background_with_a_subject_that_does_not_turn(tmp_path):
    from tests.data.moving_scene import sliding_patch

    frames, _, _ = sliding_patch(6)
    still = np.zeros(frames.shape[:3], bool)
    still[:, 95:140, 20:80] = True  # A piece of the wall.
    clip = ingest(write_images(tmp_path / "d", frames, still))
    solution = solve_cameras(clip, clip.masks, CameraSettings(max_seconds=5))
    assert solution.health.background.still
    assert solution.health.chosen == "static"
    assert any("guesses" in text for text in solution.health.warnings)
    assert all(torch.equal(c.cam_from_world, solution.cameras[0].cam_from_world) for c in solution.cameras)


def test_static_and_given(walk):
    clip, truth, _, _ = walk
    still = solve_cameras(clip, settings=CameraSettings(mode="static", focal=0.9))
    assert float(still.cameras[0].K[0, 0]) == pytest.approx(0.9 * WIDTH)
    assert still.health.focal_source == "given"
    origin, depth = still.cameras[0].project(torch.zeros(1, 3, dtype=torch.float64))
    np.testing.assert_allclose(origin.numpy(), [[WIDTH / 2, HEIGHT / 2]], atol=1e-6)
    assert float(depth) == pytest.approx(between.STAND_OFF)
    posed = replace(clip, cameras=tuple(truth))
    given = solve_cameras(posed)
    assert given.health.chosen == "given"
    np.testing.assert_array_equal(poses_of(given.cameras), poses_of(truth))


def test_what_cannot_be_asked(walk):
    clip = walk[0]
    with pytest.raises(InputError, match="masks of the subject"):
        solve_cameras(clip, settings=CameraSettings(mode="object"))
    with pytest.raises(InputError, match="a camera for each frame"):
        solve_cameras(clip, settings=CameraSettings(mode="given"))
    with pytest.raises(InputError, match="14 masks of 200x150"):
        solve_cameras(clip, np.zeros((2, 10, 10), np.uint8))
    with pytest.raises(InputError, match="2 cameras"):
        solve_cameras(replace(clip, camera_ids=("a", "b") * 7))
    with pytest.raises(InputError, match="long side"):
        CameraSettings(focal=800.0)


def good_model(truth) -> Model:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (200, 3))
    frames = np.arange(len(truth))
    focal = float(truth[0].K[0, 0])
    return Model(frames, poses_of(truth), focal, points, np.arange(200, dtype=np.int32), np.full(200, 0.3), 0.3, False)


def test_gates_pass_what_is_sound_and_name_what_is_not():
    truth = walking_cameras(12)
    frames = np.arange(12)

    def failures(**changes) -> str:
        model = replace(good_model(truth), **changes)
        return " ".join(gates.judge(model, "m", frames, frames, (WIDTH, HEIGHT), 0.0).failures)

    assert failures() == ""
    assert "reprojection error" in failures(error=3.0)
    assert "focal length" in failures(focal=20.0 * WIDTH)
    assert "focal length" in failures(focal=0.1 * WIDTH)
    few = {"points": np.zeros((10, 3)), "point_ids": np.zeros(10, np.int32), "point_errors": np.zeros(10)}
    assert "only 10 points" in failures(**few)
    jump = poses_of(truth)
    jump[6:] = poses_of(walking_cameras(12, degrees=-160))[6:]
    assert "degrees in a frame" in failures(cam_from_world=jump)
    assert "step" in failures(cam_from_world=jump)
    half = replace(good_model(truth[:6]), frames=np.arange(6))
    attempt = gates.judge(half, "m", frames, frames, (WIDTH, HEIGHT), 0.0)
    assert not attempt.accepted
    assert "6 of 12 keyframes" in attempt.failures[0]
    assert gates.judge(None, "m", frames, frames, (WIDTH, HEIGHT), 0.0).failures == ("nothing could be registered",)


def test_interpolation_passes_through_and_stays_put_outside():
    truth = poses_of(walking_cameras(9))
    known = np.array([1, 4, 7])
    every = between.interpolate(known, truth[known], np.arange(9))
    np.testing.assert_allclose(every[known], truth[known], atol=1e-12)
    np.testing.assert_allclose(every[0], truth[1], atol=1e-12)
    np.testing.assert_allclose(every[8], truth[7], atol=1e-12)
    products = every[:, :3, :3] @ every[:, :3, :3].transpose(0, 2, 1)
    np.testing.assert_allclose(products, np.tile(np.eye(3), (9, 1, 1)), atol=1e-12)
    single = between.interpolate(known[:1], truth[known[:1]], np.arange(3))
    np.testing.assert_array_equal(single, truth[[1, 1, 1]])


def test_tidying_keeps_what_the_cameras_see():
    truth = poses_of(walking_cameras(5))
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    points = rng.normal(0, 1, (50, 3)) + 3
    poses, moved = between.tidy_world(truth, points)
    for before, after in zip(truth, poses, strict=True):
        a = points @ before[:3, :3].T + before[:3, 3]
        b = moved @ after[:3, :3].T + after[:3, 3]
        np.testing.assert_allclose(a / a[:, 2:], b / b[:, 2:], atol=1e-9)


def test_a_world_that_does_not_quite_stand_still_is_taken_where_nothing_is_better(walk, monkeypatch, tmp_path):
    clip, truth, _, solution = walk
    error = next(tried.error_pixels for tried in solution.health.attempts if tried.accepted)
    scale = gates.pixel_scale(*solution_size(solution))
    monkeypatch.setattr(gates, "_MOST_ERROR", 0.8 * error / scale)
    doubtful = solve_cameras(clip, settings=CameraSettings(max_seconds=60), work=tmp_path)
    health = doubtful.health
    assert health.chosen == "scene"
    assert not health.confident
    assert any("does not quite stand still" in text for text in health.warnings)
    assert not any(tried.accepted for tried in health.attempts)
    assert rotation_errors(doubtful.cameras, truth).max() < 1.0
    monkeypatch.setattr(gates, "_MOST_ERROR", 0.3 * error / scale)
    refused = solve_cameras(clip, settings=CameraSettings(seed=1), work=tmp_path)
    assert refused.health.chosen != "scene"


def solution_size(solution) -> tuple[int, int]:
    return solution.cameras[0].width, solution.cameras[0].height
