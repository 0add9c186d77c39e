"""Structure from motion on tracks: points as keypoints, shared ids as matches, COLMAP's incremental mapper.

Schoenberger and Frahm, "Structure-from-Motion Revisited" (CVPR 2016), through pycolmap.  All images share one pinhole
camera with one focal length and the principal point in the middle.  Does NOT judge the result (`gates.py`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from recon4d.data.files import StorageError
from recon4d.data.motion.tracks import Tracks

GAPS = (1, 2, 3, 4, 6, 8, 11, 15, 20)
_LEAST_SHARED = 15
_POINTS_A_KEYFRAME = 400  # Bundle adjustment's time grows with the observations; more add little to the poses.
FOCAL_RANGE = (0.5, 3.0)  # Multiples of the long side; beyond, a solved focal length is not believed.
_REFERENCE_SIDE = 864  # Thresholds in pixels are stated for this long side.


@dataclass(frozen=True, eq=False)
class Model:
    """A reconstruction in its own world.

    Attributes:
        frames: [R] frames of the clip that have a pose, ascending.
        cam_from_world: [R, 4, 4].
        focal: pixels.
        points: [P, 3].
        point_ids: [P] track of each point.
        point_errors: [P] mean reprojection error in pixels.
        error: mean reprojection error in pixels.
        timed_out: the time limit ended it.
    """

    frames: Int64[np.ndarray, " r"]
    cam_from_world: Float64[np.ndarray, "r 4 4"]
    focal: float
    points: Float64[np.ndarray, "p 3"]
    point_ids: Int32[np.ndarray, " p"]
    point_errors: Float64[np.ndarray, " p"]
    error: float
    timed_out: bool


def pixel_scale(width: int, height: int) -> float:
    """Factor on thresholds that are stated for images of 864 pixels on the long side."""
    return float(np.clip(max(width, height) / _REFERENCE_SIDE, 0.75, 4.0))


def map_tracks(
    tracks: Tracks,
    keyframes: Int64[np.ndarray, " k"],
    size: tuple[int, int],
    focal: float,
    *,
    refine_focal: bool,
    refine_at_end: bool = False,
    most_error: float = 4.0,
    seed: int,
    max_seconds: int,
    scratch: Path | None = None,
) -> Model | None:
    """Solve poses and points; the largest model found, or None.

    Args:
        tracks: of the clip.
        keyframes: frames to register.
        size: (width, height) of the clip.
        focal: in pixels, to start from or to keep.
        refine_focal: solve for it too, from the first pair on.
        refine_at_end: solve for it once everything is registered: steadier, as a few views tell focal length from
            depth badly.  The answer is dropped where it is beyond reason or does not lower the error.
        most_error: observations farther than this from their point's projection are dropped; pixels at a long side of
            864.  Lower values keep points of bending parts out.
        seed: of random sampling.
        max_seconds: mapping stops then and keeps what it has.
        scratch: folder for COLMAP's files while it works; the system's where there is none.

    Raises:
        StorageError: the disk is full.
    """
    import pycolmap

    with (
        tempfile.TemporaryDirectory(prefix=".recon4d-sfm-", dir=scratch) as name,
        _quiet(pycolmap),
        _full_disk_told(Path(name)),
    ):
        folder = Path(name)
        observed = _write_database(pycolmap, folder, tracks, keyframes, size, focal, seed)
        options = _options(pycolmap, refine_focal, seed, max_seconds, most_error, size)
        (folder / "out").mkdir()
        start = time.monotonic()
        try:
            models = pycolmap.incremental_mapping(folder / "db.db", folder, folder / "out", options)
        except (RuntimeError, ValueError) as error:
            if _is_of_disk(error):
                raise
            return None
        timed_out = time.monotonic() - start >= max_seconds
        if not models:
            return None
        best = max(models.items(), key=lambda item: (item[1].num_reg_images(), item[1].num_points3D(), -item[0]))[1]
        model = _model(best, observed, keyframes, timed_out)
        return _with_solved_focal(pycolmap, best, model, observed, keyframes, size) if refine_at_end else model


def _with_solved_focal(
    pycolmap: Any,
    best: Any,
    model: Model,
    observed: list[Int32[np.ndarray, " _"]],
    keyframes: Int64[np.ndarray, " k"],
    size: tuple[int, int],
) -> Model:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = True
    options.refine_principal_point = options.refine_extra_params = False
    options.print_summary = False
    options.ceres.solver_options.num_threads = 1  # As in mapping.
    pycolmap.bundle_adjustment(best, options)
    best.update_point_3d_errors()
    solved = _model(best, observed, keyframes, model.timed_out)
    low, high = FOCAL_RANGE
    return solved if low < solved.focal / max(size) < high and solved.error < model.error else model


@contextmanager
def _full_disk_told(folder: Path) -> Iterator[None]:
    """COLMAP has one kind of error for everything: what it says of its database is said as what it is."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_disk(error):
            raise
        raise StorageError(
            str(folder.parent),
            expected="room for the work files",
            got=f"COLMAP's {str(error).splitlines()[0]!r}",
            fix="free some space or choose another work folder",
        ) from None


def _is_of_disk(error: Exception) -> bool:
    return any(word in str(error) for word in ("SQLite", "database", "No space left"))


@contextmanager
def _quiet(pycolmap: Any) -> Iterator[None]:
    before = pycolmap.logging.minloglevel
    # Bundle adjustment called by itself logs whatever the level.
    verbose = pycolmap.logging.verbose_level
    pycolmap.logging.minloglevel, pycolmap.logging.verbose_level = 3, -1
    try:
        yield
    finally:
        pycolmap.logging.minloglevel, pycolmap.logging.verbose_level = before, verbose


def _write_database(
    pycolmap: Any,
    folder: Path,
    tracks: Tracks,
    keyframes: Int64[np.ndarray, " k"],
    size: tuple[int, int],
    focal: float,
    seed: int,
) -> list[Int32[np.ndarray, " _"]]:
    """Fill `db.db`; returns the track of each keypoint of each keyframe."""
    with pycolmap.Database.open(folder / "db.db") as database:
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=size[0], height=size[1], params=[focal, size[0] / 2, size[1] / 2]
        )
        camera.camera_id = 1
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=1)
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
        observed = []
        wanted = longest(tracks, keyframes)
        for number, frame in enumerate(keyframes.tolist(), start=1):
            positions, ids = tracks.at(frame)
            positions, ids = positions[wanted[ids]], ids[wanted[ids]]
            image = pycolmap.Image(name=f"{frame:06d}.png", camera_id=1, image_id=number)
            database.write_image(image, use_image_id=True)
            moment = pycolmap.Frame(frame_id=number, rig_id=1)
            moment.add_data_id(image.data_id)
            database.write_frame(moment, use_frame_id=True)
            # COLMAP refuses images without keypoints; a corner that nothing matches does no harm.
            database.write_keypoints(number, positions if len(ids) else np.zeros((1, 2), np.float32))
            observed.append(ids)
        pairs = []
        for i, gap in ((i, gap) for i in range(len(keyframes)) for gap in GAPS):
            j = i + gap
            if j >= len(keyframes):
                continue
            _, a, b = np.intersect1d(observed[i], observed[j], assume_unique=True, return_indices=True)
            if len(a) >= _LEAST_SHARED:
                database.write_matches(i + 1, j + 1, np.stack([a, b], 1).astype(np.uint32))
                pairs.append(f"{keyframes[i]:06d}.png {keyframes[j]:06d}.png")
    (folder / "pairs.txt").write_text("\n".join(pairs) + "\n")
    if pairs:
        verification = pycolmap.TwoViewGeometryOptions()
        verification.min_num_inliers = _LEAST_SHARED
        verification.ransac.max_error = 2.0 * pixel_scale(*size)
        verification.ransac.random_seed = seed
        pycolmap.verify_matches(folder / "db.db", folder / "pairs.txt", verification)
    return observed


def longest(
    tracks: Tracks, keyframes: Int64[np.ndarray, " k"], enough: int = _POINTS_A_KEYFRAME
) -> Bool[np.ndarray, " n"]:
    """Which tracks to use: those in most keyframes first, until every keyframe has enough."""
    seen = np.zeros((tracks.count, len(keyframes)), bool)
    for column, frame in enumerate(keyframes.tolist()):
        seen[tracks.at(frame)[1], column] = True
    wanted = np.zeros(tracks.count, bool)
    filled = np.zeros(len(keyframes), np.int64)
    lengths = seen.sum(1)
    for track in np.argsort(-lengths, kind="stable").tolist():
        if lengths[track] < 2:
            break
        if (filled[seen[track]] < enough).any():
            wanted[track] = True
            filled += seen[track]
    return wanted


def _options(
    pycolmap: Any, refine_focal: bool, seed: int, max_seconds: int, most_error: float, size: tuple[int, int]
) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    # Several models: with one only, a bad first pair ends the run.
    options.multiple_models = True
    options.min_model_size = 6
    options.min_num_matches = 12
    options.extract_colors = False
    options.num_threads = 1  # Sums in another order give other poses.
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.mapper.num_threads = 1
    options.max_runtime_seconds = max_seconds
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = refine_focal
    options.ba_refine_extra_params = options.mapper.abs_pose_refine_extra_params = False
    options.mapper.init_min_tri_angle = 4.0
    options.mapper.init_min_num_inliers = 40
    options.mapper.abs_pose_min_num_inliers = 15
    options.ba_global_max_refinements = 2
    options.ba_global_frames_ratio = options.ba_global_points_ratio = 1.2
    scale = pixel_scale(*size)
    options.mapper.filter_max_reproj_error = most_error * scale
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = most_error * scale
    options.mapper.abs_pose_max_error = 12.0 * scale
    return options


def _model(
    best: Any, observed: list[Int32[np.ndarray, " _"]], keyframes: Int64[np.ndarray, " k"], timed_out: bool
) -> Model:
    numbers = sorted(best.reg_image_ids())
    poses = np.tile(np.eye(4), (len(numbers), 1, 1))
    for row, number in enumerate(numbers):
        pose = best.image(number).cam_from_world
        poses[row, :3] = (pose() if callable(pose) else pose).matrix()
    points, ids, errors = [], [], []
    for _, point in sorted(best.points3D.items()):
        element = point.track.elements[0]
        points.append(point.xyz)
        ids.append(observed[element.image_id - 1][element.point2D_idx])
        errors.append(point.error)
    return Model(
        keyframes[np.array(numbers) - 1],
        poses,
        float(next(iter(best.cameras.values())).params[0]),
        np.array(points, np.float64).reshape(-1, 3),
        np.array(ids, np.int32),
        np.array(errors, np.float64),
        float(best.compute_mean_reprojection_error()),
        timed_out,
    )
