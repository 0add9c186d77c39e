"""From keyframes to every frame, and from a reconstruction's world to a tidy one.

A frame between keyframes gets its pose from the solved points that are tracked into it (perspective n points,
starting from the interpolated pose); where too few are, it is interpolated: orientations by the shortest turn, centres
linearly.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.transform import Rotation, Slerp

from recon4d.data.motion.cameras.gates import centers_of
from recon4d.data.motion.cameras.mapping import Model, pixel_scale
from recon4d.data.motion.tracks import Tracks

STAND_OFF = 4.0  # Distance of a camera without points from the origin, units.
_LEAST_INLIERS = 12
_REPROJECTION = 3.0  # Pixels at a long side of 864.


def interpolate(
    frames: Int64[np.ndarray, " r"], cam_from_world: Float64[np.ndarray, "r 4 4"], wanted: Int64[np.ndarray, " t"]
) -> Float64[np.ndarray, "t 4 4"]:
    """Poses at all wanted frames; before the first and after the last they stay the same."""
    poses = np.tile(np.eye(4), (len(wanted), 1, 1))
    if len(frames) == 1:
        poses[:] = cam_from_world[0]
        return poses
    at = np.clip(wanted, frames[0], frames[-1]).astype(np.float64)
    turn = Slerp(frames.astype(np.float64), Rotation.from_matrix(cam_from_world[:, :3, :3]))(at).as_matrix()
    centers = centers_of(cam_from_world)
    center = np.stack([np.interp(at, frames, centers[:, k]) for k in range(3)], -1)
    poses[:, :3, :3] = turn
    poses[:, :3, 3] = -np.einsum("tij,tj->ti", turn, center)
    return poses


def all_frames(
    model: Model, tracks: Tracks, size: tuple[int, int], seed: int
) -> tuple[Float64[np.ndarray, "t 4 4"], Bool[np.ndarray, " t"]]:
    """cam_from_world of every frame of the clip, and in which it was measured."""
    import cv2

    poses = interpolate(model.frames, model.cam_from_world, np.arange(tracks.length))
    solved = np.zeros(tracks.length, bool)
    solved[model.frames] = True
    point_of = np.full(tracks.count, -1)
    point_of[model.point_ids] = np.arange(len(model.point_ids))
    K = np.array([[model.focal, 0, size[0] / 2], [0, model.focal, size[1] / 2], [0, 0, 1]])
    limit = _REPROJECTION * pixel_scale(*size)
    for t in np.flatnonzero(~solved).tolist():
        positions, ids = tracks.at(t)
        known = point_of[ids] >= 0
        if known.sum() < _LEAST_INLIERS:
            continue
        points, seen = model.points[point_of[ids[known]]], positions[known].astype(np.float64)
        start_turn, _ = cv2.Rodrigues(poses[t, :3, :3])
        cv2.setRNGSeed(seed)
        found, turn, shift, inliers = cv2.solvePnPRansac(
            points, seen, K, None, start_turn.copy(), poses[t, :3, 3:].copy(), True, 200, limit
        )
        if not found or inliers is None or len(inliers) < max(_LEAST_INLIERS, known.sum() // 2):
            continue
        best = inliers.ravel()
        turn, shift = cv2.solvePnPRefineLM(points[best], seen[best], K, None, turn, shift)
        rotation, _ = cv2.Rodrigues(turn)
        differs = np.linalg.norm(Rotation.from_matrix(rotation @ poses[t, :3, :3].T).as_rotvec(degrees=True))
        if np.isfinite(rotation).all() and np.isfinite(shift).all() and differs < 15:
            poses[t, :3, :3], poses[t, :3, 3] = rotation, shift.ravel()
            solved[t] = True
    return poses, solved


def tidy_world(
    cam_from_world: Float64[np.ndarray, "t 4 4"], points: Float64[np.ndarray, "p 3"]
) -> tuple[Float64[np.ndarray, "t 4 4"], Float64[np.ndarray, "p 3"]]:
    """The same scene with the cameras' mean up as +z, the points' middle as origin, nine tenths of them within 1 unit.

    The first camera's line of sight points towards +y.  Without points the origin is `STAND_OFF` units before the first
    camera, and the scale stays.
    """
    first = cam_from_world[0]
    up = -cam_from_world[:, 1, :3].mean(0)
    if np.linalg.norm(up) < 1e-3:  # The cameras' ups cancel out.
        up = -first[1, :3]
    up = up / np.linalg.norm(up)
    ahead = first[2, :3] - up * (up @ first[2, :3])
    if np.linalg.norm(ahead) < 1e-3:  # It looks straight up or down.
        ahead = first[1, :3] - up * (up @ first[1, :3])
    ahead = ahead / np.linalg.norm(ahead)
    new_from_old = np.stack([np.cross(ahead, up), ahead, up])
    if len(points):
        middle = np.median(points, axis=0)
        scale = 1 / max(float(np.percentile(np.linalg.norm(points - middle, axis=1), 90)), 1e-12)
    else:
        middle = centers_of(first[None])[0] + STAND_OFF * first[2, :3]
        scale = 1.0
    moved = cam_from_world.copy()
    moved[:, :3, :3] = cam_from_world[:, :3, :3] @ new_from_old.T
    # cam = R_old (x_new turned back / scale + middle) + t, all times scale.
    moved[:, :3, 3] = scale * (cam_from_world[:, :3, :3] @ middle + cam_from_world[:, :3, 3])
    return moved, scale * (points - middle) @ new_from_old.T
