"""DyCheck and Nerfies / HyperNeRF captures.

Layout: `dataset.json` (ids, train_ids, val_ids), `metadata.json` (for each id: time_id or warp_id, camera_id),
`scene.json` (scale, center), `camera/ID.json`, `rgb/Nx/ID.png`; from DyCheck also `splits/{train,val,test}.json` (which
go before dataset.json), `extra.json` (fps, factor), `depth/Nx/ID.npy` and `covisible/Nx/SPLIT/ID.png`.  `points.npy`
holds background points without colours (read as gray).  Alpha in the images marks what may be scored, not the subject.

Convention: OpenCV axes (x right, y down, z forward).  `orientation` [3, 3] is the rotation cam_from_world, `position`
the camera centre in the world; pixel centres at +0.5; fy = focal_length * pixel_aspect_ratio; radial_distortion k1 k2
k3 and tangential_distortion p1 p2 are Brown-Conrady and are removed on loading, as is skew.  Cameras are for images of
`image_size`; they are scaled to the images of factor N that are read.  The world is normalised as these captures define
it: x_in_dataset = (x_in_file - center) * scale, depth likewise.  Time is time_id / fps (fps of `extra.json`, else 30).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from recon4d.data.dataset import Dataset, Points, make_dataset
from recon4d.data.files import inside, read_json, write_json
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.record import (
    MAX_SIDE,
    Record,
    existing,
    lens_of,
    make_camera,
    matrix_of,
    require_cameras,
    rigid,
    wrong,
)
from recon4d.data.images import image_size, read_array
from recon4d.data.lens import Lens
from recon4d.data.view import SPLITS, View

DEFAULT_FPS = 30.0


def read_dycheck(folder: str | Path, *, factor: int | None = None) -> Dataset:
    """Read a DyCheck or Nerfies capture.

    Args:
        folder: of `dataset.json`.
        factor: which `rgb/Nx` to read; default that of `extra.json`, else the largest images there are.

    Raises:
        InputError: a missing or broken file or field; says which.
    """
    folder = Path(folder)
    path = folder / "dataset.json"
    dataset = Record(read_json(path), str(path))
    path = folder / "scene.json"
    scene = Record(read_json(path), str(path))
    scale, center = scene.number("scale", 1.0, above=0.0), np.zeros(3)
    if scene.has("center"):
        center = scene.array("center", (3,))
    path = folder / "metadata.json"
    metadata = Record(read_json(path), str(path))
    extra_path = folder / "extra.json"
    extra = Record(read_json(extra_path) if extra_path.is_file() else {}, str(extra_path))
    fps = extra.number("fps", DEFAULT_FPS, above=0.0)
    factor = factor or _factor(folder, extra)
    splits = _splits(folder, dataset)
    views = []
    for name, split in splits.items():
        item = Record(metadata.value(name), metadata.place(name))
        time_key = "time_id" if item.has("time_id") else "warp_id"
        view = _read_view(folder, name, split, factor, scale, center)
        views.append(replace(view, time=item.whole(time_key) / fps, camera_id=str(item.whole("camera_id", 0))))
    meta = meta_file.read_meta(folder)
    return make_dataset(
        folder,
        "dycheck",
        f"DyCheck/Nerfies capture with {len(views)} images of rgb/{factor}x",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        scale=scale,
        center=(float(center[0]), float(center[1]), float(center[2])),
        meshes=meta.meshes,
        points=_points(folder / "points.npy", scale, center),
        meta={**scene.content, **extra.content, **meta.content},
        warnings=() if extra.has("fps") else (f"{fps:g} frames a second are assumed: extra.json gives none",),
    )


def _points(path: Path, scale: float, center: Float64[np.ndarray, "3"]) -> Points | None:
    if not path.is_file():
        return None
    raw = read_array(path)
    if raw.ndim != 2 or raw.shape[1] != 3 or not np.issubdtype(raw.dtype, np.floating) or not np.isfinite(raw).all():
        raise wrong(str(path), "finite positions [points, 3]", f"{raw.dtype} {list(raw.shape)}")
    count = len(raw)
    return Points((raw.astype(np.float64) - center) * scale, np.full((count, 3), 128, np.uint8), np.full(count, -1.0))


def _factor(folder: Path, extra: Record) -> int:
    if extra.has("factor"):
        return extra.whole("factor", least=1)
    found = [int(path.name[:-1]) for path in (folder / "rgb").glob("*x") if path.name[:-1].isdecimal()]
    if not found:
        raise wrong(str(folder / "rgb"), "a folder 1x, 2x, ... with images", "none", "is the capture complete?")
    return min(found)


def _splits(folder: Path, dataset: Record) -> dict[str, str]:
    """Each image id to its split, in the order of the files."""
    result: dict[str, str] = {}

    def add(names: list[str], split: str, where: str) -> None:
        for name in names:
            if result.setdefault(name, split) != split:
                raise wrong(where, "an image of one split only", name)

    for split in SPLITS:
        path = folder / "splits" / f"{split}.json"
        if path.is_file():
            record = Record(read_json(path), str(path))
            add(record.texts("frame_names"), split, record.place("frame_names"))
    if not result:
        if not dataset.has("train_ids"):
            add(dataset.texts("ids"), "train", dataset.place("ids"))
        for split in SPLITS:
            if dataset.has(f"{split}_ids"):
                add(dataset.texts(f"{split}_ids"), split, dataset.place(f"{split}_ids"))
    return result


def _read_view(
    folder: Path, name: str, split: str, factor: int, scale: float, center: Float64[np.ndarray, "3"]
) -> View:
    path = inside(folder, f"camera/{name}.json", what=f"{folder}: camera of {name!r}")
    record = Record(read_json(path), str(path))
    image_path = existing(folder, f"rgb/{factor}x/{name}", f"{folder}: image {name!r}")
    size = record.array("image_size", (2,))
    if (size < 1).any() or (size > MAX_SIDE).any():
        raise wrong(record.place("image_size"), f"1 to {MAX_SIDE} pixels", size.tolist())
    focal = record.number("focal_length", above=0.0)
    center_in_image = record.array("principal_point", (2,))
    radial = record.array("radial_distortion", (3,)) if record.has("radial_distortion") else np.zeros(3)
    tangential = np.zeros(2)
    for key in ("tangential_distortion", "tangential"):  # The second is the name in old captures.
        if record.has(key):
            tangential = record.array(key, (2,))
            break
    lens = Lens(
        fx=focal,
        fy=focal * record.number("pixel_aspect_ratio", 1.0, above=0.0),
        cx=float(center_in_image[0]),
        cy=float(center_in_image[1]),
        skew=record.number("skew", 0.0),
        k1=float(radial[0]),
        k2=float(radial[1]),
        k3=float(radial[2]),
        p1=float(tangential[0]),
        p2=float(tangential[1]),
    )
    position = (record.array("position", (3,)) - center) * scale
    orientation = record.array("orientation", (3, 3))
    pose = rigid(np.column_stack([orientation, np.zeros(3)]), record.place("orientation"))
    pose[:3, 3] = -pose[:3, :3] @ position
    width, height = image_size(image_path)
    camera, distortion = make_camera(record.where, pose, lens.scaled(width / size[0], height / size[1]), width, height)
    depth = inside(folder, f"depth/{factor}x/{name}.npy", what="depth")
    covisible = inside(folder, f"covisible/{factor}x/{split}/{name}.png", what="covisible")
    return View(
        name=name,
        split=split,
        image_path=image_path,
        camera=camera,
        depth_path=depth if depth.is_file() else None,
        valid_path=covisible if covisible.is_file() else None,
        depth_scale=scale,
        alpha_is_validity=True,
        distortion=distortion,
    )


def write_dycheck(
    folder: str | Path,
    views: Sequence[View],
    *,
    fps: float = DEFAULT_FPS,
    factor: int = 1,
    scale: float = 1.0,
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write the JSON files of a capture.  Images must lie at `rgb/{factor}x/NAME.png`; pixels are not written.

    Args:
        folder: target, which must exist.
        views: names are the ids; times must be multiples of 1 / fps.
        fps, factor: as stored in `extra.json`.
        scale, center: x_in_file = x_in_dataset / scale + center.

    Raises:
        InputError: no views, a view without a camera, an image elsewhere, a time between two frames, or a camera id
            that is not a number.
    """
    folder = Path(folder)
    cameras = require_cameras(views, [view.camera for view in views])
    metadata: dict[str, object] = {}
    (folder / "camera").mkdir(exist_ok=True)
    (folder / "splits").mkdir(exist_ok=True)
    for view, camera in zip(views, cameras, strict=True):
        where = f"views: {view.name}"
        if (
            view.image_path.parent.resolve() != (folder / f"rgb/{factor}x").resolve()
            or view.image_path.stem != view.name
        ):
            raise wrong(f"{where}: image_path", f"rgb/{factor}x/{view.name}.png", str(view.image_path))
        if not view.camera_id.isdecimal():
            raise wrong(f"{where}: camera_id", "a number", view.camera_id)
        time_id = round(view.time * fps)
        if abs(time_id - view.time * fps) > 1e-6 * max(1.0, time_id):
            raise wrong(f"{where}: time", f"a multiple of 1 / {fps:g} seconds", view.time)
        if view.name in metadata:
            raise wrong(where, "each name once", "the name twice")
        metadata[view.name] = {"time_id": time_id, "warp_id": time_id, "camera_id": int(view.camera_id)}
        lens = lens_of(camera, view.distortion)
        matrix = matrix_of(camera)
        position = -matrix[:3, :3].T @ matrix[:3, 3] / scale + np.asarray(center)
        content: dict[str, object] = {
            "orientation": matrix[:3, :3].tolist(),
            "position": position.tolist(),
            "focal_length": lens.fx * factor,
            "principal_point": [lens.cx * factor, lens.cy * factor],
            "skew": lens.skew * factor,
            "pixel_aspect_ratio": lens.fy / lens.fx,
            "radial_distortion": [lens.k1, lens.k2, lens.k3],
            "tangential_distortion": [lens.p1, lens.p2],
            "image_size": [camera.width * factor, camera.height * factor],
        }
        write_json(inside(folder, f"camera/{view.name}.json", what=where), content)
    by_split = {split: [view for view in views if view.split == split] for split in SPLITS}
    for split, chosen in by_split.items():
        if chosen:
            names = [view.name for view in chosen]
            write_json(folder / "splits" / f"{split}.json", {"frame_names": names})
    ids = {f"{split}_ids": [view.name for view in chosen] for split, chosen in by_split.items()}
    write_json(folder / "dataset.json", {"count": len(views), "ids": [view.name for view in views], **ids})
    write_json(folder / "metadata.json", metadata)
    write_json(folder / "scene.json", {"scale": scale, "center": list(center)})
    write_json(folder / "extra.json", {"fps": fps, "factor": factor})
