"""Masks that the user gives: found, matched to frames, and split into objects.

A folder of images (white = the subject; more than two labels, as in a palette image, are several objects), a folder
with one sub-folder for each object, or a video.  Does NOT carry masks to frames that have none (`find_masks` does).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

from recon4d.core import InputError
from recon4d.data import View, read_image
from recon4d.data.formats.folders import list_images
from recon4d.data.images import image_size
from recon4d.data.video import VIDEO_SUFFIXES, VideoReader

_MOST_OBJECTS = 12
_LOOKED_AT = 8  # Files, to tell how many objects there are.
_LEAST_SHARE = 5e-4  # Of the pixels of all masks; a rarer value is an edge, not an object.
_FIX = "name them like the images, or by the number of their frame (00000.png is the first)"


@dataclass(frozen=True, eq=False)
class GivenMasks:
    """Where the masks are.

    Attributes:
        where: as the user named it.
        objects: for each sub-folder (or the one folder) a file for each view, None where there is none; empty for a
            video.
        video: masks as a video, one frame for each view.
        notes: sentences on how they were matched.
    """

    where: Path
    objects: tuple[tuple[Path | None, ...], ...]
    video: Path | None = None
    notes: tuple[str, ...] = ()

    @staticmethod
    def find(path: str | Path, views: Sequence[View]) -> GivenMasks:
        """Match masks to views.

        Raises:
            InputError: nothing there, or masks that belong to other frames.
        """
        where = Path(path)
        if where.is_file() and where.suffix.lower() in VIDEO_SUFFIXES:
            return GivenMasks(where, (), where)
        if not where.is_dir():
            got = "a file" if where.exists() else "nothing there"
            raise InputError(
                f"--masks {path}", expected="a folder of images or a video", got=got, fix="check the path of the masks"
            )
        folders = [where]
        if not list_images(where):
            folders = sorted(folder for folder in where.iterdir() if folder.is_dir() and list_images(folder))
        if not folders:
            raise InputError(
                f"--masks {path}", expected="mask images, or one folder of them for each object", got="none", fix=_FIX
            )
        matched = [by_frame(f"--masks {folder}", list_images(folder), views, "masks") for folder in folders]
        notes = tuple(dict.fromkeys(note for _, note in matched if note))
        return GivenMasks(where, tuple(files for files, _ in matched), None, notes)

    @property
    def paths(self) -> tuple[Path | None, ...]:
        """A mask file for each view, of any object; empty for a video."""
        return tuple(next((p for p in files if p is not None), None) for files in zip(*self.objects, strict=True))

    @property
    def files(self) -> list[Path]:
        """All files, in order."""
        return [self.video] if self.video else [p for files in self.objects for p in files if p is not None]

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse masks of another shape than the frames; another size of the same shape is resized.

        Raises:
            InputError: naming the first that differs.
        """
        for path in self.files:
            if path == self.video:
                continue
            width, height = image_size(path)
            if abs(width * size[1] - height * size[0]) > max(size):
                raise _wrong_size(path, size, (width, height))

    def load(
        self, source_frames: Int64[np.ndarray, " t"], views: int, size: tuple[int, int]
    ) -> tuple[list[UInt8[np.ndarray, "t h w"]], Bool[np.ndarray, " t"]]:
        """Masks of the frames that are used.

        Args:
            source_frames: which views these are.
            views: how many there are in all.
            size: (width, height) of the frames.

        Returns:
            For each object [T, H, W], 255 = the object, 0 in frames without a mask; and which frames have one [T].

        Raises:
            InputError: masks that cannot be read, of another shape than the frames, too few frames in a video, or more
                labels than objects can be.
        """
        if self.video is not None:
            return [self._of_video(source_frames, views, size)], np.ones(len(source_frames), bool)
        masked = np.array([any(files[i] is not None for files in self.objects) for i in source_frames])
        objects: list[UInt8[np.ndarray, "t h w"]] = []
        for files in self.objects:
            used = [files[i] for i in source_frames]
            objects += _stacks(used, self._labels([p for p in used if p is not None]) or [-1], size)
        return objects, masked

    def count(self) -> int:
        """How many objects there are, by some of the files; never 0.

        Raises:
            InputError: more than can be.
        """
        if len(self.objects) != 1:
            return max(1, len(self.objects))
        files = self.files
        some = np.unique(np.linspace(0, len(files) - 1, _LOOKED_AT).round().astype(int))
        return max(1, len(self._labels([files[i] for i in some])))

    def _labels(self, files: Sequence[Path]) -> list[int]:
        """The labels of several objects in one folder; none where there is one object."""
        labels = _labels(files) if len(self.objects) == 1 else []
        if len(labels) > _MOST_OBJECTS:
            raise InputError(
                f"--masks {self.where}",
                expected=f"at most {_MOST_OBJECTS} objects",
                got=f"{len(labels)} labels",
                fix="join labels into fewer, or give those that matter only",
            )
        return labels

    def _of_video(
        self, source_frames: Int64[np.ndarray, " t"], views: int, size: tuple[int, int]
    ) -> UInt8[np.ndarray, "t h w"]:
        assert self.video is not None
        stack = np.zeros((len(source_frames), size[1], size[0]), np.uint8)
        row = {frame: t for t, frame in enumerate(source_frames.tolist())}
        count = 0
        for frame in VideoReader(self.video):
            count += 1
            height, width = frame.image.shape[:2]
            if abs(width * size[1] - height * size[0]) > max(size):
                raise _wrong_size(self.video, size, (width, height))
            if frame.index in row:
                # Lossy codecs blur a mask's edge: what is nearer to white is the subject.
                mask = np.where(frame.image[..., :3].max(-1) >= 128, 255, 0).astype(np.uint8)
                stack[row[frame.index]] = _resized(mask, size)
        if count != views:
            raise InputError(
                f"--masks {self.where}",
                expected=f"{views} frames, as the input",
                got=f"{count} frames",
                fix="make the masks from the same video, one for each frame",
            )
        return stack


def _stacks(
    files: Sequence[Path | None], labels: Sequence[int], size: tuple[int, int]
) -> list[UInt8[np.ndarray, "t h w"]]:
    """The masks of each label, resized one after the other: large images are not held together."""
    stacks = [np.zeros((len(files), size[1], size[0]), np.uint8) for _ in labels]
    for t, path in enumerate(files):
        if path is not None:
            pixels = read_image(path)
            for stack, label in zip(stacks, labels, strict=True):
                stack[t] = _resized(_coverage(pixels, label), size)
    return stacks


def _wrong_size(path: Path, size: tuple[int, int], got: tuple[int, int]) -> InputError:
    return InputError(
        str(path),
        expected=f"a mask of {size[0]}x{size[1]} pixels, as its image",
        got=f"{got[0]}x{got[1]}",
        fix="make the masks from the same images",
    )


def by_frame(
    where: str, files: Sequence[Path], views: Sequence[View], things: str
) -> tuple[tuple[Path | None, ...], str]:
    """A file for each view, by name, by number, or in order; and a note where that was not by name.

    Args:
        where: what to name in errors.
        files: in order.
        views: of the input.
        things: what is in the files, "masks".

    Raises:
        InputError: files that belong to other frames.
    """
    by_stem = {path.name.partition(".")[0]: path for path in files}
    stems = [Path(view.name).name.partition(".")[0] for view in views]
    named = tuple(by_stem.get(stem) for stem in stems)
    numbers = {int(found[-1]): path for path in reversed(files) if (found := re.findall(r"\d+", path.stem))}
    if views[0].frame_index is None and sum(p is not None for p in named) >= min(len(files), len(views)):
        return named, ""
    if numbers and len(numbers) == len(files):
        # FFmpeg numbers frames from 1.
        first = 1 if 0 not in numbers and len(views) in numbers else 0
        numbered = tuple(numbers.get(i + first) for i in range(len(views)))
        frames = [view.frame_index for view in views]
        if frames[0] is None:
            by_number = [re.findall(r"\d+", stem) for stem in stems]
            if all(by_number):
                numbered = tuple(numbers.get(int(found[-1])) for found in by_number)
        if any(p is not None for p in numbered):
            return numbered, f"the {things} are numbered from 1" if first else ""
    if any(p is not None for p in named):
        return named, ""
    if len(files) == len(views):
        return tuple(files), f"the names of the {things} do not tell their frames: they were taken in order"
    raise InputError(
        where,
        expected=f"{things} of the input's {len(views)} frames",
        got=f"{len(files)} {things}, none of which names a frame ({files[0].name})",
        fix=_FIX,
    )


def _keys(pixels: Shaped[np.ndarray, "..."]) -> Int64[np.ndarray, "h w"]:
    """One number for each different colour; 0 is black or transparent."""
    if pixels.ndim == 2:
        return pixels.astype(np.int64)
    most = np.iinfo(pixels.dtype).max
    keys = (pixels[..., :3].astype(np.int64) * np.array([1 << 32, 1 << 16, 1])).sum(-1)
    return np.where(pixels[..., 3] > most // 2, keys, 0) if pixels.shape[2] == 4 else keys


def _labels(files: Sequence[Path]) -> list[int]:
    """The labels of several objects; none where the images show one object, with or without soft edges."""
    counts: dict[int, int] = {}
    total = 0
    for path in files:
        keys = _keys(read_image(path))
        values, numbers = np.unique(keys, return_counts=True)
        if len(values) > 4 * _MOST_OBJECTS:
            return []  # Soft edges.
        total += keys.size
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
    counts.pop(0, None)
    common = sorted(value for value, number in counts.items() if number >= _LEAST_SHARE * total)
    if len(common) < 2 or len(counts) > 2 * len(common):
        return []
    return common if _have_insides(files, common) else []  # Else a band along an edge.


def _have_insides(files: Sequence[Path], labels: Sequence[int]) -> bool:
    """Whether every label is more than a thin line in some image."""
    import cv2

    left = set(labels)
    for path in files:
        if not left:
            break
        keys = _keys(read_image(path))
        for label in tuple(left):
            region = (keys == label).astype(np.uint8)
            if 4 * int(cv2.erode(region, np.ones((3, 3), np.uint8)).sum()) > int(region.sum()) > 0:
                left.remove(label)
    return not left


def _coverage(pixels: Shaped[np.ndarray, "..."], label: int) -> UInt8[np.ndarray, "h w"]:
    if label >= 0:
        return np.where(_keys(pixels) == label, 255, 0).astype(np.uint8)
    most = np.iinfo(pixels.dtype).max
    gray = pixels[..., :3].max(-1) if pixels.ndim == 3 else pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        gray = np.where(pixels[..., 3] > most // 2, gray, 0)
    if len(np.unique(gray)) <= 2:
        return np.where((gray == gray.max()) & (gray > 0), 255, 0).astype(np.uint8)
    return np.rint(gray * (255.0 / most)).astype(np.uint8)


def _resized(mask: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "a b"]:
    import cv2

    if (mask.shape[1], mask.shape[0]) == size:
        return mask
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
