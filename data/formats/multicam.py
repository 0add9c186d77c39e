"""Several cameras, each a folder of images or a video, with our `cameras.json`.

Convention: OpenCV cameras (x right, y down, z forward), `cam_from_world`, pixel centres at +0.5, seconds.

    {"format": "recon4d-cameras", "format_version": 1, "fps": 30,
     "cameras": [{"id": "left", "images": "left"        a folder, or "video": "left.mp4"
                  "width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 320, "cy": 240,
                  "cam_from_world": [[...], ...]        [4, 4], or one [4, 4] for each frame when the camera moves
                  "split": "train",                     or a list, one for each frame; default train
                  "masks": "masks/left",                optional folder; same names as the images, numbers for a video
                  "start": 0.0,                         optional: time of the first frame (what synchronises cameras)
                  "times": [0.0, ...],                  optional: seconds of each frame, goes before fps and start
                  "skew": 0, "k1": 0, "k2": 0, "k3": 0, "p1": 0, "p2": 0}]}    optional, as `recon4d.data.lens`

Frames of a folder are in natural order of the names, `fps` frames a second; a video brings its own times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from recon4d.core import Camera
from recon4d.data.dataset import Dataset, make_dataset
from recon4d.data.files import inside, read_json, relative_name, write_json
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.folders import masks_by_number, masks_by_stem, natural_key, require_images
from recon4d.data.formats.record import (
    MAX_SIDE,
    Record,
    array,
    lens_of,
    make_camera,
    matrix_of,
    require_cameras,
    rigid,
    wrong,
)
from recon4d.data.images import image_size
from recon4d.data.lens import Lens
from recon4d.data.video import VideoFrames, scan_video
from recon4d.data.view import SPLITS, View

NAME = "cameras.json"
FORMAT = "recon4d-cameras"
FORMAT_VERSION = 1
_BENDS = ("skew", "k1", "k2", "k3", "p1", "p2")


def read_multicam(path: str | Path) -> Dataset:
    """Read a multi-camera data set from its folder or its `cameras.json`.

    Raises:
        InputError: a missing or broken file or field; says which.
    """
    path = Path(path)
    path = path if path.suffix == ".json" else path / NAME
    folder = path.parent
    file = Record(read_json(path), str(path))
    if file.text("format") != FORMAT:
        raise wrong(file.place("format"), repr(FORMAT), file.text("format"))
    if file.whole("format_version") != FORMAT_VERSION:
        raise wrong(file.place("format_version"), str(FORMAT_VERSION), file.whole("format_version"), "update recon4d")
    meta = meta_file.read_meta(folder)
    fps = file.number("fps", above=0.0) if file.has("fps") else meta.fps
    records = file.records("cameras")
    ids = [record.text("id") for record in records]
    if len(set(ids)) != len(ids):
        raise wrong(file.place("cameras"), "each id once", sorted({name for name in ids if ids.count(name) > 1}))
    views: list[View] = []
    warnings: list[str] = []
    for record in records:
        views += _views(folder, record, fps, warnings)
    moments = len({view.time for view in views})
    return make_dataset(
        folder,
        "multicam",
        f"{len(records)} cameras with {len(views)} images at {moments} times",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        meta=meta.content,
        warnings=warnings,
    )


def _views(folder: Path, record: Record, fps: float | None, warnings: list[str]) -> list[View]:
    name = record.text("id")
    width, height = (record.whole(key, least=1, most=MAX_SIDE) for key in ("width", "height"))
    fx, fy = (record.number(key, above=0.0) for key in ("fx", "fy"))
    bends = {key: record.number(key, 0.0) for key in _BENDS}
    lens = Lens(fx, fy, record.number("cx"), record.number("cy"), **bends)
    masks_folder = inside(folder, record.text("masks"), what=record.place("masks")) if record.has("masks") else None
    start = record.number("start", 0.0)
    video: VideoFrames | None = None
    if record.has("video") == record.has("images"):
        raise wrong(record.place("images"), "either images or video", "both" if record.has("video") else "neither")
    if record.has("video"):
        source = record.file(folder, "video")
        info = scan_video(source)
        warnings += [f"{source.name}: {problem}" for problem in info.problems]
        video = VideoFrames(source)
        paths = [source] * len(info.times)
        names = [f"{name}/{index:06d}" for index in range(len(paths))]
        times = (info.times + start).tolist()
        masks = masks_by_number(masks_folder, len(paths))
        size = (info.width, info.height)
    else:
        where = record.place("images")
        paths = require_images(inside(folder, record.text("images"), what=where), where)
        names = [f"{name}/{path.stem}" for path in paths]
        if fps is None and not record.has("times") and len(paths) > 1:
            raise wrong(record.place("times"), "times, or fps for the file", "neither", "add the frame rate")
        times = [start + index / (fps or 1.0) for index in range(len(paths))]
        masks = masks_by_stem(masks_folder, paths)
        size = image_size(paths[0])
    if size != (width, height):
        raise wrong(record.place("width, height"), f"{size[0]}x{size[1]}, the size of {paths[0]}", f"{width}x{height}")
    if record.has("times"):
        times = record.array("times", (len(paths),)).tolist()
    views = []
    poses = _poses(record, len(paths))
    for index, split in enumerate(_splits(record, len(paths))):
        camera, distortion = make_camera(record.where, poses[index], lens, width, height)
        views.append(
            View(
                name=names[index],
                split=split,
                image_path=paths[index],
                time=times[index],
                camera=camera,
                camera_id=name,
                frame_index=None if video is None else index,
                mask_path=masks[index],
                distortion=distortion,
                video=video,
            )
        )
    return views


def _poses(record: Record, count: int) -> list[Float64[np.ndarray, "4 4"]]:
    where = record.place("cam_from_world")
    matrices = array(record.value("cam_from_world"), where, (4, 4), (count, 4, 4))
    if matrices.ndim == 2:
        return [rigid(matrices, where)] * count
    return [rigid(matrix, f"{where}[{index}]") for index, matrix in enumerate(matrices)]


def _splits(record: Record, count: int) -> list[str]:
    given = record.content.get("split", "train")
    splits = list(map(str, given)) if isinstance(given, list) else [str(given)] * count
    if len(splits) != count or any(split not in SPLITS for split in splits):
        raise wrong(record.place("split"), f"{' or '.join(SPLITS)}, or a list of {count} of them", given)
    return splits


def write_multicam(folder: str | Path, views: Sequence[View]) -> None:
    """Write `cameras.json`: one camera for each camera id.  Pixels are not written.

    The images of a camera must be all the images of one folder, in natural order of names by time; or all frames of one
    video.  Depth, normals and flow are not part of this format.

    Raises:
        InputError: no views, a view without a camera, files outside `folder` or of several folders in one camera, or
            intrinsics that change within a camera.
    """
    folder = Path(folder)
    cameras = require_cameras(views, [view.camera for view in views])
    groups: dict[str, list[tuple[View, Camera]]] = {}
    for view, camera in zip(views, cameras, strict=True):
        groups.setdefault(view.camera_id, []).append((view, camera))
    content = [_camera_entry(folder, name, groups[name]) for name in sorted(groups)]
    write_json(folder / NAME, {"format": FORMAT, "format_version": FORMAT_VERSION, "cameras": content})


def _camera_entry(folder: Path, name: str, group: list[tuple[View, Camera]]) -> dict[str, object]:
    group = sorted(group, key=lambda pair: pair[0].time)
    views = [view for view, _ in group]
    what = f"views of camera {name!r}"
    shapes = {(lens_of(camera, view.distortion), camera.width, camera.height) for view, camera in group}
    if len(shapes) != 1:
        raise wrong(what, "one lens and size for all frames", f"{len(shapes)} different ones")
    lens, width, height = shapes.pop()
    bends = {key: value for key, value in asdict(lens).items() if key in _BENDS and value}
    poses = [(matrix_of(camera) + 0.0).tolist() for _, camera in group]
    splits = [view.split for view in views]
    entry: dict[str, object] = {"id": name, **_source(folder, views, what), "width": width, "height": height}
    entry |= {"fx": lens.fx, "fy": lens.fy, "cx": lens.cx, "cy": lens.cy, **bends}
    entry["split"] = splits[0] if len(set(splits)) == 1 else splits
    masks = {view.mask_path.parent for view in views if view.mask_path is not None}
    if len(masks) > 1:
        raise wrong(f"{what}: mask_path", "masks in one folder", f"{len(masks)} folders")
    if masks:
        entry["masks"] = relative_name(folder, masks.pop(), what=f"{what}: mask_path")
    entry["times"] = [view.time for view in views]
    entry["cam_from_world"] = poses[0] if all(pose == poses[0] for pose in poses) else poses
    return entry


def _source(folder: Path, views: Sequence[View], what: str) -> dict[str, object]:
    if all(view.frame_index is not None for view in views):
        if len({view.image_path for view in views}) != 1 or [view.frame_index for view in views] != list(
            range(len(views))
        ):
            raise wrong(what, "all frames of one video in order of time", "other frames")
        return {"video": relative_name(folder, views[0].image_path, what=what)}
    parents = {view.image_path.parent for view in views}
    names = [view.image_path.name for view in views]
    if len(parents) != 1 or names != sorted(names, key=natural_key):
        raise wrong(what, "images of one folder whose names sort by time", "others")
    return {"images": relative_name(folder, parents.pop(), what=what)}
