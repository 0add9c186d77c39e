"""LLFF and Neural 3D Video: `poses_bounds.npy` beside `cam*.mp4`, folders `cam*`, or one folder `images`.

Convention: each row holds a [3, 5] matrix, row by row, and the nearest and farthest depth.  The matrix is
world_from_cam with columns (down, right, backward, centre), then (height, width, focal length in pixels); the principal
point is the middle of the image.  Rows are in natural order of the names.  Intrinsics are scaled to the images there.
With several cameras the first is "test" (the custom of Neural 3D Video) and the others "train"; a video brings its
times, folders count 30 frames a second unless `meta.json` says otherwise.  With one folder `images` all images show one
moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from recon4d.data.dataset import Dataset, make_dataset
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.folders import list_images, natural_key, require_images
from recon4d.data.formats.record import make_camera, matrix_of, require_cameras, rigid, rigid_inverse, wrong
from recon4d.data.images import image_size, read_array, write_array
from recon4d.data.lens import Lens
from recon4d.data.video import VIDEO_SUFFIXES, VideoFrames, scan_video
from recon4d.data.view import View

NAME = "poses_bounds.npy"
DEFAULT_FPS = 30.0
_CV_FROM_LLFF = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])  # (down, right, backward) to (right, down, forward).


def read_llff(folder: str | Path) -> Dataset:
    """Read an LLFF scene or a Neural 3D Video scene.

    Raises:
        InputError: a broken file, or another number of images or cameras than of poses.
    """
    folder = Path(folder)
    path = folder / NAME
    table = read_array(path)
    if table.ndim != 2 or table.shape[1] != 17 or not np.issubdtype(table.dtype, np.floating):
        raise wrong(str(path), "floating-point numbers [cameras, 17]", f"{table.dtype} {list(table.shape)}")
    if not np.isfinite(table).all():
        raise wrong(str(path), "finite numbers", "NaN or infinity")
    meta = meta_file.read_meta(folder)
    rate = meta.fps or DEFAULT_FPS
    sources = _sources(folder)
    if len(sources) != len(table):
        raise wrong(str(path), f"{len(sources)} poses, one for each of the images or cameras", str(len(table)))
    several = sources[0].parent == folder
    views: list[View] = []
    for index, (source, row) in enumerate(zip(sources, table.astype(np.float64), strict=True)):
        split = "test" if several and index == 0 else "train"
        where = f"{path}: row {index}"
        if source.is_dir():
            inner = source / "images" if (source / "images").is_dir() else source
            for number, image in enumerate(require_images(inner, str(source))):
                name, size, time = f"{source.name}/{image.stem}", image_size(image), number / rate
                views.append(_view(name, split, image, time, source.name, row, size, where))
        elif several:
            info = scan_video(source)
            video = VideoFrames(source)
            for number, time in enumerate(info.times.tolist()):
                name = f"{source.stem}/{number:06d}"
                size = (info.width, info.height)
                views.append(_view(name, split, source, time, source.stem, row, size, where, number, video))
        else:
            views.append(_view(source.name, split, source, 0.0, source.stem, row, image_size(source), where))
    return make_dataset(
        folder,
        "llff",
        f"LLFF poses for {len(sources)} {'cameras' if several else 'images of one moment'}, {len(views)} images",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        meta={**meta.content, "bounds": table[:, 15:].tolist()},
    )


def _sources(folder: Path) -> list[Path]:
    """What the rows stand for: videos cam*, folders cam*, or the files of `images`."""
    candidates = sorted(folder.glob("cam*"), key=lambda path: natural_key(path.name))
    videos = [path for path in candidates if path.suffix.lower() in VIDEO_SUFFIXES]
    folders = [path for path in candidates if path.is_dir()]
    found = videos or folders or list_images(folder / "images")
    if not found:
        raise wrong(str(folder), "cam*.mp4, folders cam*, or images/", "none of them", "is the scene complete?")
    return found


def _view(
    name: str,
    split: str,
    path: Path,
    time: float,
    camera_id: str,
    row: Float64[np.ndarray, "17"],
    size: tuple[int, int],
    where: str,
    frame_index: int | None = None,
    video: VideoFrames | None = None,
) -> View:
    matrix = row[:15].reshape(3, 5)
    height, width, focal = matrix[:, 4]
    if min(height, width, focal) <= 0:
        raise wrong(f"{where}: height, width, focal length", "numbers above 0", matrix[:, 4].tolist())
    world_from_cam = rigid(np.column_stack([matrix[:, :3] @ _CV_FROM_LLFF.T, matrix[:, 3]]), where)
    lens = Lens(focal, focal, width / 2, height / 2).scaled(size[0] / width, size[1] / height)
    camera, distortion = make_camera(where, rigid_inverse(world_from_cam), lens, *size)
    return View(
        name=name,
        split=split,
        image_path=path,
        time=time,
        camera=camera,
        camera_id=camera_id,
        frame_index=frame_index,
        distortion=distortion,
        video=video,
    )


def write_llff(folder: str | Path, views: Sequence[View], *, bounds: tuple[float, float] = (0.1, 100.0)) -> None:
    """Write `poses_bounds.npy`, one row for each camera id in natural order.

    For images of one moment give each its own camera id, in the order of the file names.

    Raises:
        InputError: no views, a view without a camera, a camera that moves, or a lens that this format cannot say
            (fx other than fy, a principal point off the middle, distortion).
    """
    cameras = require_cameras(views, [view.camera for view in views])
    rows: dict[str, Float64[np.ndarray, "17"]] = {}
    for view, camera in zip(views, cameras, strict=True):
        where = f"views: {view.name}"
        fx, fy, cx, cy = (float(camera.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        middle = (camera.width / 2, camera.height / 2)
        if view.distortion is not None or not np.allclose((fx, cx, cy), (fy, *middle), rtol=1e-9):
            raise wrong(where, "square pixels, a principal point in the middle, no distortion", f"{(fx, fy, cx, cy)}")
        world_from_cam = rigid_inverse(matrix_of(camera))
        shape = np.array([camera.height, camera.width, fx])
        matrix = np.column_stack([world_from_cam[:3, :3] @ _CV_FROM_LLFF, world_from_cam[:3, 3], shape])
        row = np.concatenate([matrix.ravel(), bounds])
        if not np.allclose(rows.setdefault(view.camera_id, row), row, rtol=1e-9, atol=1e-9):
            raise wrong(where, "one pose for each camera id", "a camera that moves")
    write_array(Path(folder) / NAME, np.stack([rows[name] for name in sorted(rows, key=natural_key)]))
