"""Poses of a bending subject that turns, grown from its tracks, and views of it that are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d.core import Camera
from recon4d.data.formats.blender import read_blender
from recon4d.data.motion import find_masks, ingest, track_points
from recon4d.data.motion.cameras import growth, loops
from recon4d.data.motion.cameras.adjust import AdjustSettings, Bundle, adjust, triangulated
from recon4d.data.motion.tracks import Tracks
from recon4d.synthetic import SynthesizeConfig, synthesize
from tests.data.moving_scene import box_room, walking_cameras
from tests.data.test_motion_cameras import poses_of, rotation_errors
from tests.data.test_motion_ingest import write_images

SIZE = (200, 150)
KEYFRAMES = 20


def turning_subject(noise: float = 0.2) -> tuple[Tracks, list, np.ndarray]:
    """Tracks of a ball seen from all around, three tenths of whose points swing to and fro.

    Returns:
        tracks of the visible half, true cameras, and which points swing.
    """
    rng = np.random.default_rng(0)
    truth = walking_cameras(KEYFRAMES, degrees=200.0)
    normals = rng.normal(size=(260, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    swings = rng.uniform(size=260) < 0.3
    positions, frames, ids = [], [], []
    for t, camera in enumerate(truth):
        points = normals + np.where(swings[:, None], 0.25 * np.sin(0.9 * t + 6 * normals[:, :1]), 0.0)
        pose = camera.cam_from_world.numpy()
        at = points @ pose[:3, :3].T + pose[:3, 3]
        seen = np.flatnonzero((normals * (camera.center_in_world.numpy() - normals)).sum(1) > 0.4)
        K = camera.K.numpy()
        pixels = at[seen, :2] / at[seen, 2:] * K[0, 0] + K[:2, 2]
        positions.append(pixels + rng.normal(0, noise, pixels.shape))
        frames.append(np.full(len(seen), t))
        ids.append(seen)
    tracks = Tracks(
        np.concatenate(positions).astype(np.float32), np.concatenate(frames).astype(np.int32),
        np.concatenate(ids).astype(np.int32), 260, KEYFRAMES, "k",
    )  # fmt: skip
    return tracks, truth, swings


def test_a_bending_subject_that_turns():
    tracks, truth, swings = turning_subject()
    focal = float(truth[0].K[0, 0])
    frames = np.arange(KEYFRAMES)
    grown = growth.grow(tracks, tracks, frames, SIZE, focal, np.ones(260, bool), solve_focal=False)
    ours = [as_camera(pose, truth[0]) for pose in grown.cam_from_world]
    assert rotation_errors(ours, truth).max() < 2.0
    assert grown.focal == pytest.approx(focal, rel=1e-3)
    moving = swings[grown.point_ids]
    assert np.median(grown.trust[~moving]) > 0.5
    assert np.median(grown.trust[moving]) < 0.25
    assert 0.55 < grown.fit < 0.95


def as_camera(pose: np.ndarray, like: Camera) -> Camera:
    return Camera(like.K, torch.from_numpy(np.array(pose)), like.width, like.height)


def test_adjustment_finds_the_focal_length_and_leaves_wrong_points_out():
    tracks, truth, swings = turning_subject()
    focal = float(truth[0].K[0, 0])
    seen, ids = growth.observations(tracks, np.arange(KEYFRAMES), SIZE, np.ones(260, bool))
    poses = poses_of(truth)
    points = triangulated(poses, focal, seen, len(ids))
    firm = ~swings[ids]
    start = Bundle(poses, points, 1.15 * focal, np.zeros(len(seen.frames)), np.ones(len(ids)))
    settings = AdjustSettings(focal_weight=1.0)
    result = adjust(start, seen, np.arange(KEYFRAMES, dtype=np.float64), 1.15 * focal, settings)
    assert result.focal == pytest.approx(focal, rel=0.03)
    good = firm[seen.points]
    assert np.median(result.errors[good]) < 0.4
    assert np.median(result.errors[~good]) > 2.0
    again = adjust(start, seen, np.arange(KEYFRAMES, dtype=np.float64), 1.15 * focal, settings)
    np.testing.assert_array_equal(again.cam_from_world, result.cam_from_world)


def test_too_little_to_grow_from():
    tracks, truth, _ = turning_subject()
    few = tracks.select(np.arange(260) < 12)
    every = np.ones(12, bool)
    assert growth.grow(few, few, np.arange(KEYFRAMES), SIZE, 200.0, every, solve_focal=True) is None
    assert growth.grow(few, few, np.arange(3), SIZE, 200.0, every, solve_focal=True) is None
    assert len(truth) == KEYFRAMES


def test_a_view_that_comes_again(tmp_path):
    truth = walking_cameras(9, degrees=360.0)
    frames = box_room(truth, room=False)
    masks = (frames < 255).any(-1)
    clip = ingest(write_images(tmp_path / "d", frames, masks))
    column, row = np.meshgrid(np.arange(80, 121, 5) + 0.5, np.arange(60, 91, 5) + 0.5)
    grid = np.stack([column.ravel(), row.ravel()], -1).astype(np.float32)
    count = len(grid)
    # The same points of the picture in every frame, but each frame its own tracks: nothing is followed.
    tracks = Tracks(
        np.tile(grid, (9, 1)), np.repeat(np.arange(9), count).astype(np.int32),
        np.arange(9 * count, dtype=np.int32), 9 * count, 9, "k",
    )  # fmt: skip
    closed, pairs = loops.close_loops(clip, clip.masks, tracks, np.arange(9))
    assert (0, 8) in pairs
    here, there, _ = closed.common(0, 8)
    # The last camera bobs a little: the sines of the start and the end differ.
    focal = float(truth[0].K[0, 0])
    assert len(here) > 40
    expected = true_motion(truth[0], truth[8], here, focal)
    assert np.median(np.linalg.norm(there - expected, axis=1)) < 1.0
    assert closed.key != tracks.key
    assert (np.diff(closed.frames) >= 0).all()


def test_a_walking_creature_is_known_again_after_one_turn_and_not_mistaken(tmp_path):
    """Legs, tail and the turn of a frame spoil the likeness of the whole picture; points tell one side from another."""
    settings = SynthesizeConfig(
        subject="quadruped", camera="orbit", frames=40, val_frames=0, test_frames=1, width=224, height=224
    )
    made = synthesize(settings, tmp_path / "made").folder
    clip = ingest(made / "train")
    truth = [view.camera.cam_from_world.numpy() for view in read_blender(made).split("train")]
    masks = find_masks(clip).masks
    tracks = track_points(clip, masks)
    _, pairs = loops.close_loops(clip, masks, tracks, np.arange(40))
    assert (0, 39) in pairs
    for one, other in pairs:
        turn = truth[one][:3, :3] @ truth[other][:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 30


def true_motion(first, last, positions: np.ndarray, focal: float) -> np.ndarray:
    """Where points on the cube's face y = -1, seen by the first camera, are for the last one."""
    K = first.K.numpy()
    ray = np.concatenate([(positions - K[:2, 2]) / focal, np.ones((len(positions), 1))], 1)
    pose = first.cam_from_world.numpy()
    origin, direction = first.center_in_world.numpy(), ray @ pose[:3, :3]
    points = origin + direction * ((-1 - origin[1]) / direction[:, 1])[:, None]
    other = last.cam_from_world.numpy()
    at = points @ other[:3, :3].T + other[:3, 3]
    return at[:, :2] / at[:, 2:] * focal + K[:2, 2]
