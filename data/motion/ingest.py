"""Stage 1: from any input that `read_dataset` knows to a `Clip` of frames of one moderate size.

Two passes over the source, one frame in memory at a time: the first measures motion on thumbnails and finds repeats and
black frames; the second keeps, resized, what was chosen.  Of data sets with splits only "train" is read.  Does NOT
compute masks, flow or cameras; those that the source brings are passed on, scaled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped, UInt8

from recon4d.core import Camera, InputError
from recon4d.data.dataset import Dataset
from recon4d.data.files import write_json
from recon4d.data.formats.detect import read_dataset
from recon4d.data.images import image_size, read_image
from recon4d.data.motion import selection
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.exif import focal_35mm
from recon4d.data.motion.stage import (
    RECORD,
    Progress,
    StageCache,
    array_digest,
    cannot_write,
    file_digest,
    mapped_array,
    no_progress,
    open_cache,
    stage_key,
)
from recon4d.data.view import View

_VERSION = 3
_FULL_FRAME_MM = 36.0


@dataclass(frozen=True)
class IngestSettings:
    """How to read the input.

    Attributes:
        max_side: longer images are made this long on their long side, pixels (never enlarged).
        max_frames: more frames are thinned out, evenly in motion.
        enough_frames: so many are kept at least, where there are so many.
        motion_percent: beyond `enough_frames`, frames are thinned out as long as neighbours move by no more than this
            from one to the next, in percent of the long side; 0 keeps all up to `max_frames`.
        max_keyframes: at most this many keyframes.
        keyframe_motion_percent: motion between keyframes, percent of the long side.
        drop_repeats: leave out frames that show the same as the one before (never where cameras are given).
    """

    max_side: int = 864
    max_frames: int = 300
    enough_frames: int = 2
    motion_percent: float = 0.0
    max_keyframes: int = 60
    keyframe_motion_percent: float = 2.0
    drop_repeats: bool = True

    def __post_init__(self) -> None:
        least = {"max_side": 16, "max_frames": 2, "max_keyframes": 2, "keyframe_motion_percent": 1e-3}
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise InputError(name, expected=f"a number >= {low:g}", got=repr(getattr(self, name)), fix="raise it")


def ingest(
    source: str | Path | Dataset,
    settings: IngestSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Clip:
    """Read a video, a folder of images or a data set.

    Args:
        source: path, or a data set that has been read already.
        settings: see `IngestSettings`.
        work: folder that keeps the result; a later call with the same content and settings reads it from there.
        progress: called as `progress("ingest", done, total)`.

    Raises:
        InputError: not a video, no image that decodes, fewer than two different frames, nothing but black, or masks
            that do not have the shape of the images.
    """
    settings = settings or IngestSettings()
    dataset = source if isinstance(source, Dataset) else read_dataset(source)
    views = dataset.split("train") or dataset.views
    cache = open_cache(work)
    key = stage_key("ingest", _VERSION, settings, _content(dataset, views))
    stored = cache.load("ingest", key) if cache else None
    if stored is None:
        made = _read(dataset, views, settings, cache, key, progress)
        if cache is None:
            return _clip(*made, key, dataset, views)
        stored = cache.load("ingest", key)
        if stored is None:
            raise cannot_write(cache.folder, OSError("the result cannot be read back"))
    return _clip(*stored, key, dataset, views)


def _content(dataset: Dataset, views: Sequence[View]) -> str:
    """Digest of everything that the stage reads."""
    digests: dict[Path, str] = {}
    parts: list[object] = [dataset.format, list(dataset.background or ()), dataset.root.name]
    for view in views:
        for path in (view.image_path, view.mask_path):
            if path is not None and path not in digests:
                digests[path] = file_digest(path)
        camera = view.camera and [view.camera.K.tolist(), view.camera.cam_from_world.tolist()]
        mask = view.mask_path and digests[view.mask_path]
        parts.append([digests[view.image_path], view.frame_index, view.time, view.camera_id, camera, mask])
        parts.append(repr(view.distortion))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class _Source:
    """The views' pixels, one after the other, without those that cannot be used."""

    def __init__(self, dataset: Dataset, views: Sequence[View]) -> None:
        self.views, self.problems = views, list(dataset.warnings)
        self.under = np.asarray(dataset.background or (0.0, 0.0, 0.0), np.float32) * 255
        self.size: tuple[int, int] | None = None
        self.first_error: InputError | None = None
        self.refused: set[int] = set()

    def images(self, wanted: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "h w c"]]]:
        """(index of the view, RGB or RGBA) of the wanted views that can be read and have the common size."""
        for index in wanted:
            if index in self.refused:
                continue
            view = self.views[index]
            try:
                pixels = view.load_image()
            except InputError as error:
                self.first_error = self.first_error or error
                self._refuse(index, f"{view.name} was left out: {error.got}")
                continue
            if pixels.dtype == np.uint16:
                pixels = (pixels // 257).astype(np.uint8)
            size = (pixels.shape[1], pixels.shape[0])
            self.size = self.size or size
            if size != self.size:
                self._refuse(index, f"{view.name} was left out: {size[0]}x{size[1]}, others {self.size}")
                continue
            yield index, np.asarray(pixels, np.uint8)

    def _refuse(self, index: int, problem: str) -> None:
        self.refused.add(index)
        self.problems.append(problem)

    def flatten(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
        """Colours laid over the background."""
        if pixels.shape[2] == 3:
            return pixels
        alpha = pixels[:, :, 3:].astype(np.float32) / 255
        return np.rint(pixels[:, :, :3] * alpha + self.under * (1 - alpha)).astype(np.uint8)


def _read(
    dataset: Dataset,
    views: Sequence[View],
    settings: IngestSettings,
    cache: StageCache | None,
    key: str,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Any]]:
    source = _Source(dataset, views)
    posed = all(view.camera is not None for view in views)
    sequence = len({view.camera_id for view in views}) == 1
    kept, motion, has_alpha = _survey(source, settings, posed or not sequence, dataset, progress)
    count = selection.needed(motion, settings.motion_percent, settings.enough_frames, settings.max_frames)
    chosen = selection.evenly_in_motion(motion, count)
    if len(chosen) < len(kept):
        chosen = selection.nearest_marked(chosen, np.array([views[i].mask_path is not None for i in kept]))
        source.problems.append(f"{len(chosen)} of {len(kept)} frames are used, chosen evenly in motion")
        # Motion adds up over the frames between; directions may differ, so this is an upper bound.
        summed = np.add.reduceat(np.concatenate([motion[:-1], [0]]), chosen)
        motion = summed.astype(np.float32)
    frames_index = kept[chosen]
    assert source.size is not None
    width, height = source.size
    scale = min(1.0, settings.max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    masked = np.array([views[i].mask_path is not None for i in frames_index])
    shapes: dict[str, tuple[int, ...]] = {"frames": (len(frames_index), size[1], size[0], 3)}
    if has_alpha:
        shapes["alpha"] = shapes["frames"][:3]
    if masked.any():
        shapes["masks"] = shapes["frames"][:3]
    small = {
        "times": np.array([views[i].time for i in frames_index]),
        "masked": masked,
        "source_frames": frames_index,
        "ranks": chosen,
        "motion": motion,
        "keyframes": selection.keyframes(motion, settings.keyframe_motion_percent, settings.max_keyframes),
    }

    def fill(arrays: dict[str, Any]) -> dict[str, Any]:
        for done, (index, pixels) in enumerate(source.images(frames_index.tolist())):
            arrays["frames"][done] = _resized(source.flatten(pixels), size)
            if has_alpha:
                opaque = pixels[:, :, 3] if pixels.shape[2] == 4 else np.full(pixels.shape[:2], 255, np.uint8)
                arrays["alpha"][done] = _resized(opaque, size)
            if "masks" in arrays:
                arrays["masks"][done] = _mask(views[index], source, size)
            progress("ingest", len(views) + done + 1, len(views) + len(frames_index))
        return {"problems": list(dict.fromkeys(source.problems)), "source_size": [width, height]}

    if cache is None:
        arrays = {name: np.zeros(shape, np.uint8) for name, shape in shapes.items()}
        return fill(arrays), {**arrays, **small}
    try:
        with cache.writing("ingest", key) as folder:
            mapped: dict[str, Any] = {
                name: mapped_array(folder / f"{name}.npy", np.dtype(np.uint8), shape) for name, shape in shapes.items()
            }
            record = fill(mapped)
            for name, array in mapped.items():
                array.flush()
                small.pop(name, None)
            for name, values in small.items():
                np.save(folder / f"{name}.npy", values, allow_pickle=False)
            write_json(folder / RECORD, {**record, "arrays": sorted([*mapped, *small])})
    except OSError as error:
        raise cannot_write(cache.folder, error) from None
    return record, {}


def _survey(
    source: _Source, settings: IngestSettings, keep_all: bool, dataset: Dataset, progress: Progress
) -> tuple[Any, Any, bool]:
    """Indices of the usable views [N], motion to the next one [N] in percent, and whether any has transparency."""
    kept: list[int] = []
    motion: list[float] = []
    before: UInt8[np.ndarray, "a b"] | None = None
    black = repeats = seen = 0
    has_alpha = False
    for index, pixels in source.images(range(len(source.views))):
        seen += 1
        has_alpha |= pixels.shape[2] == 4 and not source.views[index].alpha_is_validity
        small = selection.thumbnail(source.flatten(pixels))
        progress("ingest", index + 1, 2 * len(source.views))
        if selection.is_black(small) and not keep_all:
            black += 1
            continue
        if before is not None and settings.drop_repeats and not keep_all and selection.is_repeat(small, before):
            repeats += 1
            continue
        if before is not None:
            motion.append(selection.motion_percent(before, small))
        kept.append(index)
        before = small
    _check_survey(source, kept, seen, black, repeats, dataset)
    if black:
        source.problems.append(f"{black} black frames were left out")
    if repeats:
        source.problems.append(f"{repeats} frames that repeat the one before were left out")
    return np.array(kept, np.int64), np.array([*motion, 0.0], np.float32), has_alpha


def _check_survey(source: _Source, kept: list[int], seen: int, black: int, repeats: int, dataset: Dataset) -> None:
    if seen == 0 and source.first_error is not None:
        raise source.first_error
    if len(kept) >= 2:
        return
    if black and not kept:
        got, fix = f"{black} black frames", "check the video: nothing can be seen in it"
    elif repeats:
        got, fix = f"{seen} frames that all show the same", "give a clip in which something moves"
    else:
        got, fix = "one frame" if len(kept) == 1 else "none", "give a video, or a folder with more images"
    raise InputError(str(dataset.root), expected="at least two different frames", got=got, fix=fix)


def _resized(pixels: UInt8[np.ndarray, "h w *c"], size: tuple[int, int]) -> UInt8[np.ndarray, "a b *c"]:
    import cv2

    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA), np.uint8)


def _mask(view: View, source: _Source, size: tuple[int, int]) -> UInt8[np.ndarray, "a b"]:
    assert source.size is not None
    if view.mask_path is None:
        return np.zeros((size[1], size[0]), np.uint8)
    width, height = image_size(view.mask_path)
    if abs(width * source.size[1] - height * source.size[0]) > max(source.size):
        raise InputError(
            str(view.mask_path),
            expected=f"a mask of {source.size[0]}x{source.size[1]} pixels, as its image",
            got=f"{width}x{height}",
            fix="make the masks from the same images",
        )
    if (width, height) != source.size:
        source.problems.append(f"masks of {width}x{height} were resized to the images")
        # The size of the camera's image would be asked of the file: resize before anything else looks at it.
        pixels = read_image(view.mask_path)
        pixels = pixels if pixels.ndim == 2 else pixels[:, :, :3].max(axis=2)
        top = int(pixels.max())
        gray = np.rint(pixels * (255.0 / top)).astype(np.uint8) if top else np.zeros((height, width), np.uint8)
        return _resized(gray, size)
    values = view.load_mask()
    assert values is not None
    return _resized(np.rint(values * 255).astype(np.uint8), size)


def _clip(
    record: dict[str, Any],
    arrays: dict[str, Shaped[np.ndarray, "..."]],
    key: str,
    dataset: Dataset,
    views: Sequence[View],
) -> Clip:
    chosen = [views[int(i)] for i in arrays["source_frames"]]
    height, width = arrays["frames"].shape[1:3]
    cameras = [view.camera for view in chosen]
    source_width, source_height = (int(v) for v in record["source_size"])
    seconds = views[-1].time - views[0].time
    rate = (len(views) - 1) / seconds if seconds > 0 else 0.0
    fps = dataset.meta.get("fps")
    focal = None if chosen[0].frame_index is not None else focal_35mm(chosen[0].image_path)
    return Clip(
        frames=arrays["frames"],
        times=np.asarray(arrays["times"], np.float64),
        alpha=arrays.get("alpha"),
        masks=arrays.get("masks"),
        masked=np.asarray(arrays["masked"]),
        source_frames=np.asarray(arrays["source_frames"], np.int64),
        ranks=np.asarray(arrays["ranks"], np.int64),
        motion=np.asarray(arrays["motion"], np.float32),
        keyframes=np.asarray(arrays["keyframes"], np.int64),
        cameras=None if None in cameras else tuple(_fitted(c, width, height) for c in cameras if c is not None),
        camera_ids=tuple(view.camera_id for view in chosen),
        background=dataset.background or (0.0, 0.0, 0.0),
        source_size=(source_width, source_height),
        focal_pixels=None if focal is None else focal / _FULL_FRAME_MM * max(width, height),
        fps=float(fps) if isinstance(fps, int | float) else rate,
        key=key,
        description=dataset.description,
        problems=tuple(str(text) for text in record["problems"]),
    )


def _fitted(camera: Camera, width: int, height: int) -> Camera:
    camera = camera.to(torch.float64)
    return camera if (camera.width, camera.height) == (width, height) else camera.resized(width, height)


def with_masks(clip: Clip, masks: UInt8[np.ndarray, "t h w"]) -> Clip:
    """The clip with masks given by the caller in place of its own.

    Raises:
        InputError: not one mask of the frames' size for each frame.
    """
    if masks.shape != clip.frames.shape[:3]:
        raise InputError(
            "masks",
            expected=f"{len(clip)} masks of {clip.width}x{clip.height}",
            got=f"shape {list(masks.shape)}",
            fix="give one mask for each frame of the clip, at its size",
        )
    digest = hashlib.sha256(f"{clip.key}{array_digest(masks)}".encode()).hexdigest()
    return replace(clip, masks=masks, masked=np.ones(len(clip), bool), key=digest[:24])
