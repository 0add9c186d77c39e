"""COLMAP: `sparse/0/{cameras,images,points3D}.{bin,txt}` beside a folder `images`.

Convention: OpenCV cameras (x right, y down, z forward), cam_from_world as quaternion wxyz and translation, pixel
centres at +0.5.  Camera models SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV and FULL_OPENCV (where its k4 k5
k6 are zero) are read, and their distortion is removed when an image is loaded (`recon4d.data.lens`); fisheye models and
FOV are refused.  COLMAP knows no time: the last number in each file name is taken for a frame number and divided by the
frame rate (`fps`, else that of `meta.json`, else 30), from 0 for the first; where a name has no number, all images are
at time 0.  The part of a name before the last slash is the camera id.  Masks are found as `masks/NAME.png` (COLMAP's
way, after the image's own suffix) or `masks/NAME`.  Everything is "train".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera, InputError, quaternion
from recon4d.data.dataset import Dataset, Points, make_dataset
from recon4d.data.files import inside, relative_name
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.colmap_files import ColmapCamera, ColmapImage, ColmapModel, read_model, write_model
from recon4d.data.formats.record import existing, lens_of, make_camera, matrix_of, require_cameras, stem, wrong
from recon4d.data.lens import Lens
from recon4d.data.view import View

DEFAULT_FPS = 30.0


def model_folder(root: Path) -> Path | None:
    """The folder with the model: `root` itself, sparse/0, sparse, or the same below colmap/; None without one."""
    for name in ("", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "colmap"):
        folder = root / name
        if any((folder / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return folder
    return None


def read_colmap(root: str | Path, *, images: str | Path | None = None, fps: float | None = None) -> Dataset:
    """Read a COLMAP model.

    Args:
        root: folder of the data set (or of the model alone, when `images` is given).
        images: folder of the images; default `root/images`.
        fps: frames a second of the numbers in the file names.

    Raises:
        InputError: no model, a broken one, a camera model that is not known, or a missing image.
    """
    root = Path(root)
    folder = model_folder(root)
    if folder is None:
        raise InputError(
            str(root),
            expected="a COLMAP model (cameras.bin or cameras.txt) here or in sparse/0",
            got="none",
            fix="name the folder that holds sparse/ and images/",
        )
    model = read_model(folder)
    image_root = Path(images) if images is not None else root / "images"
    meta = meta_file.read_meta(root)
    rate = fps or meta.fps or DEFAULT_FPS
    numbers = [_frame_number(image.name) for image in model.images]
    timed = all(number is not None for number in numbers)
    first = min((number for number in numbers if number is not None), default=0)
    lenses = {camera.id: _lens(camera, folder) for camera in model.cameras.values()}
    views = []
    for image, number in zip(model.images, numbers, strict=True):
        where = f"{folder}: image {image.name!r}"
        stored = model.cameras[image.camera_id]
        camera, distortion = make_camera(where, _cam_from_world(image), lenses[stored.id], stored.width, stored.height)
        views.append(
            View(
                name=stem(image.name),
                split="train",
                image_path=existing(image_root, image.name, where),
                time=(number - first) / rate if timed and number is not None else 0.0,
                camera=camera,
                camera_id=image.name.rpartition("/")[0] or "0",
                mask_path=_mask(root, image.name, where),
                distortion=distortion,
            )
        )
    warnings = []
    if not timed:
        warnings.append("file names without frame numbers: all images are taken at time 0")
    elif fps is None and meta.fps is None:
        warnings.append(f"times are frame numbers of the file names at {rate:g} frames a second: give fps to change it")
    points = 0 if model.points is None else len(model.points.positions)
    return make_dataset(
        root,
        "colmap",
        f"COLMAP model with {len(model.cameras)} cameras, {len(views)} images, {points} points",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        points=model.points,
        meta=meta.content,
        warnings=warnings,
    )


def _frame_number(name: str) -> int | None:
    match = re.search(r"(\d{1,15})\D*$", stem(name).rpartition("/")[2])
    return int(match[1]) if match else None


def _mask(root: Path, name: str, where: str) -> Path | None:
    for candidate in (f"masks/{name}.png", f"masks/{stem(name)}.png", f"masks/{name}"):
        path = inside(root, candidate, what=where)
        if path.is_file():
            return path
    return None


def _lens(camera: ColmapCamera, folder: Path) -> Lens:
    where = f"{folder}: camera {camera.id}"
    p = camera.parameters
    match camera.model:
        case "SIMPLE_PINHOLE":
            lens = Lens(p[0], p[0], p[1], p[2])
        case "PINHOLE":
            lens = Lens(*p)
        case "SIMPLE_RADIAL" | "RADIAL":
            lens = Lens(p[0], p[0], p[1], p[2], k1=p[3], k2=p[4] if camera.model == "RADIAL" else 0.0)
        case "OPENCV" | "FULL_OPENCV":
            more = p[8:] or (0.0,)
            if any(more[1:]):
                raise wrong(f"{where}: k4 k5 k6", "0", str(list(more[1:])), "undistort the images with COLMAP first")
            lens = Lens(p[0], p[1], p[2], p[3], k1=p[4], k2=p[5], p1=p[6], p2=p[7], k3=more[0])
        case _:
            known = "a pinhole, radial or OpenCV model"
            raise wrong(f"{where}: model", known, camera.model, "undistort the images with COLMAP's image_undistorter")
    if lens.fx <= 0 or lens.fy <= 0:
        raise wrong(f"{where}: focal length", "above 0", f"{lens.fx}, {lens.fy}")
    return lens


def _cam_from_world(image: ColmapImage) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = quaternion.to_matrix(torch.tensor(image.quaternion, dtype=torch.float64)).numpy()
    matrix[:3, 3] = image.translation
    return matrix


def write_colmap(
    folder: str | Path, views: Sequence[View], *, points: Points | None = None, binary: bool = True
) -> None:
    """Write `sparse/0` below `folder`.  Images are named relative to `folder/images`; pixels are not written.

    Cameras are PINHOLE, or OPENCV (FULL_OPENCV where k3 is not zero) for views with distortion; views with the same
    numbers share one.  COLMAP stores neither times nor splits nor masks: keep frame numbers in the file names.

    Raises:
        InputError: no views, a view without a camera or of a video, a lens with skew, a file outside `folder/images`.
    """
    folder = Path(folder)
    cameras = require_cameras(views, [view.camera for view in views])
    ids: dict[tuple[str, int, int, tuple[float, ...]], int] = {}
    images = []
    for number, (view, camera) in enumerate(zip(views, cameras, strict=True), 1):
        if view.frame_index is not None:
            raise wrong(f"views: {view.name}", "an image file", "a frame of a video", "write the frames as PNG first")
        model, parameters = _model_of(view, camera)
        key = (model, camera.width, camera.height, parameters)
        matrix = matrix_of(camera)
        w, x, y, z = quaternion.from_matrix(torch.from_numpy(matrix[:3, :3].copy())).tolist()
        tx, ty, tz = matrix[:3, 3].tolist()
        images.append(
            ColmapImage(
                number,
                (w, x, y, z),
                (tx, ty, tz),
                ids.setdefault(key, len(ids) + 1),
                relative_name(folder / "images", view.image_path, what=f"views: {view.name}: image_path"),
            )
        )
    stored = {id: ColmapCamera(id, model, width, height, p) for (model, width, height, p), id in ids.items()}
    target = folder / "sparse" / "0"
    target.mkdir(parents=True, exist_ok=True)
    write_model(target, ColmapModel(stored, tuple(images), points), binary=binary)


def _model_of(view: View, camera: Camera) -> tuple[str, tuple[float, ...]]:
    lens = lens_of(camera, view.distortion)
    pinhole = (lens.fx, lens.fy, lens.cx, lens.cy)
    if lens.skew:
        raise wrong(f"views: {view.name}", "pixels without skew", lens.skew, "undistort the images first")
    if lens.is_pinhole:
        return "PINHOLE", pinhole
    bends = (lens.k1, lens.k2, lens.p1, lens.p2)
    return ("FULL_OPENCV", (*pinhole, *bends, lens.k3, 0.0, 0.0, 0.0)) if lens.k3 else ("OPENCV", (*pinhole, *bends))
