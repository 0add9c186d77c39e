"""The input of a reconstruction, read far enough to know what it is, and its digest.

Does NOT decode frames beyond the first, except for videos, which have to be decoded once to know how many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recon4d.core import InputError
from recon4d.data import Dataset, View, read_dataset
from recon4d.data.motion.stage import file_digest
from recon4d.pipeline.depth import GivenDepth
from recon4d.pipeline.given_masks import GivenMasks
from recon4d.pipeline.settings import ReconstructSettings, is_learned

_FILM_STEP_DEGREES = 8.0  # Between neighbouring frames; more, and it is not one moving camera.


@dataclass(frozen=True, eq=False)
class Source:
    """An input and what follows from its files alone.

    Attributes:
        dataset: only the frames to reconstruct from are in "train"; test images stay in "test".
        size: (width, height) of the first frame.
        posed: every frame has a camera, and it is to be used.
        film: neighbouring frames show a moving picture, so flow and tracks mean something.
        masks, depth: files given on the command line, None where they are not.
        digest: SHA-256 of all that is read.
    """

    dataset: Dataset
    size: tuple[int, int]
    posed: bool
    film: bool
    masks: GivenMasks | None
    depth: GivenDepth | None
    digest: str

    @property
    def views(self) -> tuple[View, ...]:
        """The frames to reconstruct from."""
        return self.dataset.split("train") or self.dataset.views


def read_source(path: str | Path, settings: ReconstructSettings) -> Source:
    """Read what the input is.

    Raises:
        InputError: nothing that can be read, cameras asked for that it does not have, or masks that do not fit it.
    """
    if not str(path):
        raise InputError(
            "input", expected="a video, a folder of images or a data set", got="an empty name", fix="name it"
        )
    dataset = read_dataset(path)
    views = dataset.split("train") or dataset.views
    with_camera = sum(view.camera is not None for view in views)
    if settings.cameras == "file" and with_camera < len(views):
        raise InputError(
            "--cameras file",
            expected=f"a data set with a camera for each of its {len(views)} images",
            got=f"{dataset.format} with {with_camera or 'no'} cameras: {path}",
            fix="use --cameras auto, or give the folder with transforms.json or a COLMAP model",
        )
    posed = with_camera == len(views) and settings.cameras in ("auto", "file")
    masks = None
    if settings.masks not in ("auto", "none") and not is_learned(settings.masks):
        masks = GivenMasks.find(settings.masks, views)
        dataset = _marked(dataset, views, masks)
        views = dataset.split("train") or dataset.views
    size = _size(views)
    if masks is not None:
        masks.check_size(size)
    depth = None
    if settings.depth != "none" and not is_learned(settings.depth):
        depth = GivenDepth.find(settings.depth, views)
    files = [*(masks.files if masks else ()), *(path for path in (depth.files if depth else ()) if path)]
    return Source(dataset, size, posed, _is_film(views, posed), masks, depth, _digest(dataset, views, files))


def _size(views: Sequence[View]) -> tuple[int, int]:
    """(width, height) of the first frame that can be read."""
    error: InputError | None = None
    for view in views[:10]:
        try:
            image = view.load_image()
        except InputError as found:
            error = error or found
            continue
        return int(image.shape[1]), int(image.shape[0])
    assert error is not None  # A data set has at least one view.
    raise error


def _marked(dataset: Dataset, views: Sequence[View], masks: GivenMasks) -> Dataset:
    """The data set whose frames know that they have a mask, so that these are kept when frames are thinned out."""
    if not masks.paths:
        return replace(dataset, views=tuple(replace(view, mask_path=None) for view in dataset.views))
    paths = {id(view): path for view, path in zip(views, masks.paths, strict=True)}
    return replace(dataset, views=tuple(replace(view, mask_path=paths.get(id(view))) for view in dataset.views))


def _is_film(views: Sequence[View], posed: bool) -> bool:
    if len({view.camera_id for view in views}) > 1:
        return False
    if not posed or len(views) < 3:
        return True
    ahead = np.array([view.camera.cam_from_world[2, :3].tolist() for view in views if view.camera is not None])
    steps = np.degrees(np.arccos(np.clip((ahead[1:] * ahead[:-1]).sum(1), -1, 1)))
    return bool(np.median(steps) <= _FILM_STEP_DEGREES)


def _digest(dataset: Dataset, views: Sequence[View], given: Sequence[Path]) -> str:
    digests: dict[Path, str] = {}

    def of(path: Path | None) -> str:
        if path is None:
            return "none"
        if path not in digests:
            digests[path] = file_digest(path)
        return digests[path]

    digest = hashlib.sha256(dataset.format.encode())
    for view in views:
        camera = view.camera and (view.camera.K.tolist(), view.camera.cam_from_world.tolist())
        parts = (of(view.image_path), view.frame_index, view.time, view.camera_id, of(view.mask_path), camera)
        digest.update(repr((parts, view.distortion)).encode())
    for path in given:
        digest.update(of(path).encode())
    return digest.hexdigest()
