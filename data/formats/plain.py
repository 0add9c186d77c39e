"""Plain videos and folders of images: no cameras, everything in one sequence and in "train".

A folder is one sequence in natural order of the names at `fps` frames a second (else `meta.json`'s, else 30), either
directly or in `images/`.  Masks are found in `masks/` beside the images or beside `images/`, by the same name.
A video brings its true times; masks in a folder VIDEO-masks, VIDEO_masks or `masks` beside it are matched by the number
that ends their name, which is the index of the frame.
"""

from __future__ import annotations

from pathlib import Path

from recon4d.data.dataset import Dataset, make_dataset
from recon4d.data.formats import meta as meta_file
from recon4d.data.formats.folders import masks_by_number, masks_by_stem, require_images
from recon4d.data.video import VideoFrames, scan_video
from recon4d.data.view import View

DEFAULT_FPS = 30.0


def read_images(folder: str | Path, *, fps: float | None = None) -> Dataset:
    """A folder of images as a sequence.

    Raises:
        InputError: no images there.
    """
    folder = Path(folder)
    images_folder = folder / "images" if (folder / "images").is_dir() else folder
    paths = require_images(images_folder, str(folder))
    meta = meta_file.read_meta(folder)
    rate = fps or meta.fps or DEFAULT_FPS
    beside = (folder / "masks", images_folder.parent / "masks" if images_folder.name == "images" else None)
    masks_folder = next((masks for masks in beside if masks is not None and masks.is_dir()), None)
    masks = masks_by_stem(masks_folder, paths)
    views = [
        View(name=path.name, split="train", image_path=path, time=index / rate, mask_path=mask)
        for index, (path, mask) in enumerate(zip(paths, masks, strict=True))
    ]
    found = sum(mask is not None for mask in masks)
    return make_dataset(
        folder,
        "images",
        f"a sequence of {len(views)} images, {found} masks, at {rate:g} frames a second",
        views,
        background=meta.background,
        metres_per_unit=meta.metres_per_unit,
        meshes=meta.meshes,
        meta=meta.content,
        warnings=() if fps or meta.fps else (f"{rate:g} frames a second are assumed: give fps to change it",),
    )


def read_clip(path: str | Path) -> Dataset:
    """A video as a sequence; it is decoded once to know its frames and times.

    Raises:
        InputError: not a video.
    """
    path = Path(path)
    info = scan_video(path)
    folders = (path.with_name(f"{path.stem}{ending}") for ending in ("-masks", "_masks"))
    masks_folder = next((folder for folder in (*folders, path.with_name("masks")) if folder.is_dir()), None)
    masks = masks_by_number(masks_folder, len(info.times))
    frames = VideoFrames(path)
    views = [
        View(
            name=f"{path.stem}/{index:06d}",
            split="train",
            image_path=path,
            frame_index=index,
            time=time,
            mask_path=mask,
            video=frames,
        )
        for index, (time, mask) in enumerate(zip(info.times.tolist(), masks, strict=True))
    ]
    found = sum(mask is not None for mask in masks)
    size = f"{info.width}x{info.height}"
    return make_dataset(
        path,
        "video",
        f"a video ({info.codec}) of {len(views)} frames {size} at {info.fps:.4g} frames a second, {found} masks",
        views,
        meta={"fps": info.fps},
        warnings=info.problems,
    )
