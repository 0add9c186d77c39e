"""Blender / D-NeRF: `transforms_{train,val,test}.json`.

Convention: OpenGL cameras (x right, y up, z backward), world_from_cam, intrinsics for the file or the frame
(`opengl_frames.py`; `camera_angle_x` alone means square pixels and a centred principal point).  `file_path` is relative
to the folder and may lack `.png`.  `time` in [0, 1] is D-NeRF's normalised time; `time_seconds`, which we write too,
goes before it; without either the scene stands still at 0.  A file that knows no seconds is read as a clip of one
second.  Transparent images belong on white, the custom of this format, unless `meta.json` names another background.

What `recon4d synthesize` adds is read too: `seconds` and `camera` (a number) for `time_seconds` and `camera_id`;
`frame`, the number of the mesh of that moment; and, where the frame names no files, those in `masks/`, `depth/`,
`normals/` and `flow/` with the image's own path below them (`masks/train/a.png`, `depth/train/a.npz`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from recon4d.data.dataset import Dataset, make_dataset, normalized_times
from recon4d.data.files import read_json, write_json
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.opengl_frames import companions_of, image_name, pose_of, read_frame, shared_intrinsics
from recon4d.data.formats.record import Record, require_cameras, wrong
from recon4d.data.images import read_image
from recon4d.data.view import ARRAY_SUFFIXES, SPLITS, View

_SIBLINGS = (
    ("mask_path", "masks", (".png",)),
    ("depth_path", "depth", ARRAY_SUFFIXES),
    ("normal_path", "normals", ARRAY_SUFFIXES),
    ("flow_path", "flow", ARRAY_SUFFIXES),
)


def transforms_name(split: str) -> str:
    """Name of the file of one split."""
    return f"transforms_{split}.json"


def read_blender(folder: str | Path) -> Dataset:
    """Read a D-NeRF or Blender data set.

    Raises:
        InputError: no transforms file, or one that is broken or names missing files; says which file and field.
    """
    folder = Path(folder)
    views: list[View] = []
    in_seconds: set[bool] = set()
    mesh_times: dict[int, float] = {}
    for split in SPLITS:
        path = folder / transforms_name(split)
        if not path.is_file():
            continue
        file = Record(read_json(path), str(path))
        for record in file.records("frames"):
            key = next((key for key in ("time_seconds", "seconds") if record.has(key)), "time")
            in_seconds.add(key != "time")
            view = _with_siblings(folder, read_frame(folder, record, file, split=split, time=record.number(key, 0.0)))
            views.append(view)
            if record.has("frame"):
                mesh_times[record.whole("frame")] = view.time
    if len(in_seconds) > 1:
        raise wrong(f"{folder}: frames.time_seconds", "the field in every frame or in none", "some frames with it")
    meta = meta_file.read_meta(folder)
    background = meta.background
    if views and not meta.says_background and read_image(views[0].image_path).shape[2:] == (4,):
        background = (1.0, 1.0, 1.0)
    content = dict(meta.content)
    if "mesh_times" not in content and mesh_times and sorted(mesh_times) == list(range(len(mesh_times))):
        content["mesh_times"] = [mesh_times[number] for number in range(len(mesh_times))]
    counts = ", ".join(f"{sum(view.split == split for view in views)} {split}" for split in SPLITS)
    return make_dataset(
        folder,
        "blender",
        f"Blender/D-NeRF transforms with {counts} images",
        views,
        background=background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        meta=content,
        warnings=() if True in in_seconds else ("times are taken for seconds: the files know no others",),
    )


def _with_siblings(folder: Path, view: View) -> View:
    """The view with the companions that lie at their usual places and are not named in the file."""
    found: dict[str, Path] = {}
    for name, place, suffixes in _SIBLINGS:
        for suffix in suffixes if getattr(view, name) is None else ():
            path = folder / place / f"{view.name}{suffix}"
            if path.is_file():
                found.setdefault(name, path)
    return replace(view, **found) if found else view  # type: ignore[arg-type]


def write_blender(folder: str | Path, views: Sequence[View], *, meta: Mapping[str, object] | None = None) -> None:
    """Write `transforms_{split}.json` for each split that has views, and `meta.json` when `meta` is given.

    Pixels are not written; image files must lie in `folder` (they need not exist yet).

    Raises:
        InputError: no views, a view without a camera or of a video, or a file outside `folder`.
    """
    folder = Path(folder)
    cameras = require_cameras(views, [view.camera for view in views])
    normalized = normalized_times([view.time for view in views])
    for split in SPLITS:
        chosen = [index for index, view in enumerate(views) if view.split == split]
        if not chosen:
            continue
        own = [views[index] for index in chosen]
        for_file, for_frames = shared_intrinsics(own, [cameras[index] for index in chosen])
        frames = []
        for index, view, intrinsics in zip(chosen, own, for_frames, strict=True):
            name = image_name(view, folder)
            frames.append(
                {
                    "file_path": "./" + name.removesuffix(".png"),
                    "time": normalized[index],
                    "time_seconds": view.time,
                    "camera_id": view.camera_id,
                    **intrinsics,
                    "transform_matrix": pose_of(cameras[index]),
                    **companions_of(view, folder),
                }
            )
        K, width = cameras[chosen[0]].K, cameras[chosen[0]].width
        angle = 2 * float((width / 2 / K[0, 0]).atan())
        write_json(folder / transforms_name(split), {"camera_angle_x": angle, **for_file, "frames": frames})
    if meta is not None:
        write_json(folder / meta_file.NAME, meta)
