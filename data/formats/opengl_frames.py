"""What the `transforms*.json` formats share: frames with OpenGL poses and intrinsics for the file or for one frame.

`transform_matrix` is world_from_cam [4, 4] with OpenGL camera axes: x right, y up, z backward.  Multiplied from the
right by diag(1, -1, -1, 1) it becomes OpenCV.  `fl_x fl_y cx cy` are in pixels, pixel centres at +0.5; a frame's own
value goes before the file's.  `camera_angle_x` is the full horizontal field of view in radians.  `k1 k2 k3 p1 p2` is
Brown-Conrady distortion as in `recon4d.data.lens`; `k4`, fisheye and other models are refused unless zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from recon4d.core import Camera
from recon4d.data.files import relative_name
from recon4d.data.formats.record import (
    MAX_SIDE,
    Record,
    lens_of,
    make_camera,
    matrix_of,
    rigid,
    rigid_inverse,
    stem,
    wrong,
)
from recon4d.data.images import image_size
from recon4d.data.lens import Lens
from recon4d.data.view import ARRAY_SUFFIXES, View

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # Its own inverse.

_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_LENS_KEYS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "p1", "p2")
_COMPANIONS = (
    ("mask_path", "mask_path"),
    ("depth_file_path", "depth_path"),
    ("normal_file_path", "normal_path"),
    ("flow_file_path", "flow_path"),
    ("valid_file_path", "valid_path"),
)


def read_frame(root: Path, record: Record, file: Record, *, split: str, time: float, depth_scale: float = 1.0) -> View:
    """Read one entry of `frames`.

    Args:
        root: folder that the file names are relative to.
        record: the entry.
        file: the object around it, whose intrinsics are the default.
        split, time: for the view.
        depth_scale: scene units of one unit of a depth image; arrays are in scene units already.

    Raises:
        InputError: a missing file or field, a wrong type, a matrix that is not rigid, or a lens that is not known.
    """
    image_path = record.file(root, "file_path")
    world_from_cam = rigid(record.array("transform_matrix", (4, 4), (3, 4)), record.place("transform_matrix"))
    cam_from_world = rigid_inverse(world_from_cam @ OPENCV_FROM_OPENGL)
    lens, width, height = _read_lens(record, file, image_path)
    camera, distortion = make_camera(record.where, cam_from_world, lens, width, height)
    companion = {name: record.optional_file(root, key) for key, name in _COMPANIONS}
    depth_path = companion["depth_path"]
    return View(
        name=stem(record.text("file_path")),
        split=split,
        image_path=image_path,
        time=time,
        camera=camera,
        camera_id=record.text("camera_id", "0") if not record.has("camera") else str(record.whole("camera")),
        mask_path=companion["mask_path"],
        depth_path=depth_path,
        normal_path=companion["normal_path"],
        flow_path=companion["flow_path"],
        valid_path=companion["valid_path"],
        depth_scale=depth_scale if depth_path is not None and depth_path.suffix not in ARRAY_SUFFIXES else 1.0,
        distortion=distortion,
    )


def _read_lens(record: Record, file: Record, image_path: Path) -> tuple[Lens, int, int]:
    def source(key: str) -> Record:
        return record if record.has(key) else file

    model = source("camera_model").text("camera_model", "OPENCV")
    if model not in _MODELS:
        place = source("camera_model").place("camera_model")
        raise wrong(place, " or ".join(_MODELS), model, "undistort the images to a pinhole camera first")
    width, height = image_size(image_path)
    for key, real in (("w", width), ("h", height)):
        said = source(key).whole(key, real, least=1, most=MAX_SIDE)
        if said != real:
            raise wrong(
                source(key).place(key), f"{real}, the size of {image_path}", said, "resize the images or correct it"
            )
    numbers = {key: source(key).number(key) for key in (*_LENS_KEYS, "k4") if source(key).has(key)}
    if numbers.pop("k4", 0.0) != 0.0:
        raise wrong(source("k4").place("k4"), "0", "a fourth radial coefficient", "undistort the images first")
    if "fl_x" not in numbers:
        angles = source("camera_angle_x")
        if not angles.has("camera_angle_x"):
            raise wrong(record.place("fl_x"), "fl_x or camera_angle_x", "neither", "add the focal length in pixels")
        angle = angles.number("camera_angle_x", above=0.0, below=math.pi)
        numbers["fl_x"] = width / 2 / math.tan(angle / 2)
        if source("camera_angle_y").has("camera_angle_y") and "fl_y" not in numbers:
            angle = source("camera_angle_y").number("camera_angle_y", above=0.0, below=math.pi)
            numbers["fl_y"] = height / 2 / math.tan(angle / 2)
    numbers.setdefault("fl_y", numbers["fl_x"])
    for key in ("fl_x", "fl_y"):
        if numbers[key] <= 0:
            raise wrong(source(key).place(key), "a focal length above 0", numbers[key])
    numbers.setdefault("cx", width / 2)
    numbers.setdefault("cy", height / 2)
    distortion = {key: numbers[key] for key in ("k1", "k2", "k3", "p1", "p2") if key in numbers}
    return Lens(numbers["fl_x"], numbers["fl_y"], numbers["cx"], numbers["cy"], **distortion), width, height


def intrinsics_of(view: View, camera: Camera) -> dict[str, object]:
    """The keys that describe a view's lens and size."""
    lens = lens_of(camera, view.distortion)
    if lens.skew:
        raise wrong(f"views: {view.name}", "pixels without skew", lens.skew, "undistort the images first")
    bends = {"k1": lens.k1, "k2": lens.k2, "k3": lens.k3, "p1": lens.p1, "p2": lens.p2}
    return {
        "fl_x": lens.fx,
        "fl_y": lens.fy,
        "cx": lens.cx,
        "cy": lens.cy,
        "w": camera.width,
        "h": camera.height,
        **{key: value for key, value in bends.items() if value != 0},
    }


def shared_intrinsics(
    views: Sequence[View], cameras: Sequence[Camera]
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """(for the file, for each frame): all in the file when the views agree, else all in the frames."""
    each = [intrinsics_of(view, camera) for view, camera in zip(views, cameras, strict=True)]
    return (each[0], [{} for _ in each]) if all(one == each[0] for one in each) else ({}, each)


def image_name(view: View, folder: Path) -> str:
    """The image file of a view relative to `folder`.

    Raises:
        InputError: the view is a frame of a video, or its file lies elsewhere.
    """
    if view.frame_index is not None:
        raise wrong(f"views: {view.name}", "an image file", "a frame of a video", "write the frames as PNG first")
    return relative_name(folder, view.image_path, what=f"views: {view.name}: image_path")


def pose_of(camera: Camera) -> list[list[float]]:
    """`transform_matrix` of a camera."""
    world_from_cam: Float64[np.ndarray, "4 4"] = rigid_inverse(matrix_of(camera)) @ OPENCV_FROM_OPENGL
    return (world_from_cam + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0.


def companions_of(view: View, folder: Path) -> dict[str, object]:
    """The keys of a view's mask, depth, normals and so on, relative to `folder`."""
    paths = {key: getattr(view, name) for key, name in _COMPANIONS}
    what = f"views: {view.name}"
    return {key: relative_name(folder, path, what=f"{what}: {key}") for key, path in paths.items() if path is not None}
