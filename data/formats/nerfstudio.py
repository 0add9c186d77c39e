"""nerfstudio: one `transforms.json` for all images.

Convention: OpenGL cameras (x right, y up, z backward), world_from_cam, intrinsics and Brown-Conrady distortion for the
file or the frame (`opengl_frames.py`).  Splits come from `train_filenames`, `val_filenames` and `test_filenames`;
without them everything is "train".  `time` is optional and taken as written: nerfstudio does not say whether it counts
seconds.  Depth images count in `depth_unit_scale_factor` (default 0.001) scene units.  The world is the file's:
`applied_transform`, which only says how it came from an earlier world, is checked and kept in `meta`, not undone.
`ply_file_path` may name points (`ply_points.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recon4d.data.dataset import Dataset, Points, make_dataset
from recon4d.data.files import read_json, write_json
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.opengl_frames import companions_of, image_name, pose_of, read_frame, shared_intrinsics
from recon4d.data.formats.ply_points import read_ply_points, write_ply_points
from recon4d.data.formats.record import Record, require_cameras, stem, wrong
from recon4d.data.view import ARRAY_SUFFIXES, SPLITS, View

NAME = "transforms.json"


def read_nerfstudio(path: str | Path) -> Dataset:
    """Read a nerfstudio data set from its folder or its JSON file.

    Raises:
        InputError: a missing or broken file or field, a lens that is not known, a matrix that is not rigid.
    """
    path = Path(path)
    path = path if path.suffix == ".json" else path / NAME
    folder = path.parent
    file = Record(read_json(path), str(path))
    splits = _splits(file)
    meta = meta_file.read_meta(folder)
    depth_scale = file.number("depth_unit_scale_factor", 1e-3, above=0.0)
    records = file.records("frames")
    timed = sum(record.has("time") for record in records)
    if timed not in (0, len(records)):
        raise wrong(file.place("frames.time"), "the field in every frame or in none", f"{timed} of {len(records)}")
    views = []
    for record in records:
        name = stem(record.text("file_path"))
        if splits is None or name in splits:  # nerfstudio too leaves out what no list names.
            split = "train" if splits is None else splits[name]
            time = record.number("time", 0.0)
            views.append(read_frame(folder, record, file, split=split, time=time, depth_scale=depth_scale))
    content = dict(meta.content)
    if file.has("applied_transform"):
        content["applied_transform"] = file.array("applied_transform", (3, 4), (4, 4)).tolist()
    if file.has("applied_scale"):
        content["applied_scale"] = file.number("applied_scale", above=0.0)
    points = file.optional_file(folder, "ply_file_path")
    return make_dataset(
        folder,
        "nerfstudio",
        f"nerfstudio transforms with {len(views)} images{' and times' if timed else ', no times'}",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        points=None if points is None else read_ply_points(points),
        meta=content,
        warnings=() if timed else ("the frames have no times: the scene is taken to stand still",),
    )


def _splits(file: Record) -> dict[str, str] | None:
    """Name of each listed image to its split, None where the file lists none."""
    lists = {split: file.texts(f"{split}_filenames") for split in SPLITS if file.has(f"{split}_filenames")}
    if not lists:
        return None
    known = {stem(record.text("file_path")) for record in file.records("frames")}
    result: dict[str, str] = {}
    for split, names in lists.items():
        for index, name in enumerate(names):
            place = f"{file.place(f'{split}_filenames')}[{index}]"
            if stem(name) not in known:
                raise wrong(place, "the file_path of a frame", name)
            if result.setdefault(stem(name), split) != split:
                raise wrong(place, "an image of one split only", name)
    return result


def write_nerfstudio(folder: str | Path, views: Sequence[View], *, points: Points | None = None) -> None:
    """Write `transforms.json`, and `points.ply` when points are given.  Pixels are not written.

    Depth of image files is written with one `depth_unit_scale_factor`, so it must be the same for all views.

    Raises:
        InputError: no views, a view without a camera or of a video, or a file outside `folder`.
    """
    folder = Path(folder)
    cameras = require_cameras(views, [view.camera for view in views])
    for_file, for_frames = shared_intrinsics(views, cameras)
    frames = []
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    scales = {
        view.depth_scale
        for view in views
        if view.depth_path is not None and view.depth_path.suffix not in ARRAY_SUFFIXES
    }
    if len(scales) > 1:
        raise wrong("views: depth_scale", "one scale for all depth images", sorted(scales))
    for view, camera, intrinsics in zip(views, cameras, for_frames, strict=True):
        name = image_name(view, folder)
        names[view.split].append(name)
        frames.append(
            {
                "file_path": name,
                "time": view.time,
                "camera_id": view.camera_id,
                **intrinsics,
                "transform_matrix": pose_of(camera),
                **companions_of(view, folder),
            }
        )
    content: dict[str, object] = {"camera_model": "OPENCV", **for_file}
    if scales:
        content["depth_unit_scale_factor"] = scales.pop()
    content.update({f"{split}_filenames": listed for split, listed in names.items() if listed})
    if points is not None:
        write_ply_points(folder / "points.ply", points)
        content["ply_file_path"] = "points.ply"
    content["frames"] = frames
    write_json(folder / NAME, content)
