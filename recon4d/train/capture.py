"""What is known of a video when its fit begins: images, masks, cameras, tracks.

A plain record that the stages before fill in, or that is read from a data set with poses.  Does NOT find anything out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from recon4d.core import Camera, InputError, SE3Spline
from recon4d.data import Dataset, View
from recon4d.data.motion import Tracks

BackgroundKind = Literal["none", "static", "camera"]
DepthKind = Literal["relative", "scaled", "metric"]
BACKGROUND_KINDS: tuple[BackgroundKind, ...] = ("none", "static", "camera")
_SUBJECT = 128


@dataclass(frozen=True, eq=False)
class Capture:
    """Images with cameras, in order of time, and what else is known of them.

    Attributes:
        images: [H, W, 3] display sRGB, one for each frame; those of different cameras may differ in size.
        masks: for each moving object one [H, W] coverage for each frame, 255 = the object.  No objects at all means a
            still scene, and needs a background.
        times: seconds of each frame, never falling; frames of several cameras may share one.
        cameras: of each frame, world_from_cam in one world.
        fitted: which frames are fitted; the others are kept out for measuring.
        background: "none": what is outside the masks is not part of the scene; "static": it stands still in the world;
            "camera": it stands still before the camera, as behind a subject that turns before a camera on a stand
            while the cameras are relative to the subject.
        roots: world_from_root over time of each object, where its turning and place are known; None, or fewer, where
            they are to be found from the masks.
        tracks: points followed through the frames, in pixels of the images; None where there are none.
        depths: [H, W] inverse depth of each frame, NaN where it is unknown; None for a frame, or for all, where there
            is none.
        depth_kind: "metric": in 1 / scene units; "scaled": up to a scale of each frame; "relative": up to a scale and
            a shift.
        points: [P, 3] scene points of structure from motion, None where there are none.
        point_colors: [P, 3] display sRGB of the points in [0, 1].
        refine_cameras: whether poses and focal length are uncertain, and may be corrected while fitting.
        metres_per_unit: size of the scene unit, None when not known.
        source: provenance, free JSON values.
    """

    images: Sequence[UInt8[np.ndarray, "h w 3"]]
    masks: Sequence[Sequence[UInt8[np.ndarray, "h w"]]]
    times: tuple[float, ...]
    cameras: tuple[Camera, ...]
    fitted: tuple[bool, ...]
    background: BackgroundKind = "none"
    roots: tuple[SE3Spline | None, ...] = ()
    tracks: Tracks | None = None
    depths: Sequence[Float32[np.ndarray, "rows columns"] | None] | None = None
    depth_kind: DepthKind = "relative"
    points: Float32[np.ndarray, "p 3"] | None = None
    point_colors: Float32[np.ndarray, "p 3"] | None = None
    refine_cameras: bool = False
    metres_per_unit: float | None = None
    source: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        if count == 0:
            raise InputError("Capture", expected="at least one image to fit", got="none", fix="check the train split")
        lengths = {"times": len(self.times), "cameras": len(self.cameras), "fitted": len(self.fitted)}
        lengths |= {f"masks[{k}]": len(masks) for k, masks in enumerate(self.masks)}
        lengths |= {} if self.tracks is None else {"tracks": self.tracks.length}
        lengths |= {} if self.depths is None else {"depths": len(self.depths)}
        for name, length in lengths.items():
            if length != count:
                raise InputError(
                    f"Capture.{name}",
                    expected=f"one for each of the {count} images",
                    got=str(length),
                    fix="give one each",
                )
        for index, (image, camera) in enumerate(zip(self.images, self.cameras, strict=True)):
            depth = None if self.depths is None else self.depths[index]
            sizes = {image.shape[:2], (camera.height, camera.width), *(masks[index].shape for masks in self.masks)}
            sizes |= set() if depth is None else {depth.shape}
            if len(sizes) > 1:
                raise InputError(
                    f"Capture frame {index}",
                    expected="an image, a camera, masks and depth of one size",
                    got=", ".join(f"{width}x{height}" for height, width in sorted(sizes)),
                    fix="resize the masks, or correct the camera",
                )
        if self.point_colors is not None and (self.points is None or len(self.points) != len(self.point_colors)):
            raise InputError(
                "Capture.point_colors", expected="one colour for each point", got="others", fix="give both or neither"
            )
        if list(self.times) != sorted(self.times):
            raise InputError("Capture.times", expected="times that never fall", got="others", fix="sort the frames")
        if not any(self.fitted):
            raise InputError("Capture.fitted", expected="frames to fit", got="none", fix="keep fewer frames out")
        if self.background not in BACKGROUND_KINDS or (self.background == "none" and not self.masks):
            raise InputError(
                "Capture.background",
                expected="none, static or camera; one of the latter where there are no objects",
                got=repr(self.background),
                fix="use static for a scene without moving objects",
            )

    def __len__(self) -> int:
        """Number of frames, kept out or not."""
        return len(self.images)

    def fingerprint(self) -> str:
        """SHA-256 of everything that a fit sees."""
        settled = (self.times, self.fitted, self.background, self.refine_cameras, self.depth_kind)
        digest = hashlib.sha256(repr(settled).encode())
        for arrays in (self.images, *self.masks):
            for array in arrays:
                digest.update(np.ascontiguousarray(array).data)
        for depth in self.depths or ():
            digest.update(b"none" if depth is None else np.ascontiguousarray(depth).data)
        for camera in self.cameras:
            digest.update(repr((camera.K.tolist(), camera.cam_from_world.tolist())).encode())
        for root in self.roots:
            paths = None if root is None else (root.start, root.step, root.rotations_wxyz, root.translations)
            digest.update(repr(paths if paths is None else [*paths[:2], *(p.tolist() for p in paths[2:])]).encode())
        for known in (self.points, self.point_colors):
            digest.update(b"none" if known is None else np.ascontiguousarray(known).data)
        tracked = None if self.tracks is None else (self.tracks.positions, self.tracks.frames, self.tracks.ids)
        digest.update(b"none" if tracked is None else b"".join(array.tobytes() for array in tracked))
        return digest.hexdigest()


def capture_from_dataset(dataset: Dataset, split: str = "train") -> Capture:
    """The capture of a data set with poses, and masks or alpha: one object before nothing.

    Raises:
        InputError: no views; one without a camera or a mask, with a file that cannot be read, or with an empty mask.
    """
    views = sorted(dataset.split(split), key=lambda view: (view.time, view.camera_id, view.name))
    if not views:
        raise InputError("views", expected="at least one image to fit", got="none", fix="check the train split")
    images, masks, cameras = [], [], []
    for view in views:
        if view.camera is None:
            raise InputError(view.name, expected="a camera", got="none", fix="give a data set with poses")
        image, mask = _image_and_mask(view)
        images.append(image)
        masks.append(mask)
        cameras.append(view.camera.to(torch.float32))
    return Capture(
        images=images,
        masks=[masks],
        times=tuple(view.time for view in views),
        cameras=tuple(cameras),
        fitted=(True,) * len(views),
        metres_per_unit=dataset.metres_per_unit,
        source={"data_format": dataset.format},
    )


def _image_and_mask(view: View) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    mask = view.load_mask()
    if mask is None:
        raise InputError(
            str(view.image_path),
            expected="transparency or a mask that shows the subject",
            got="an opaque image without a mask",
            fix="give masks beside the images",
        )
    pixels = view.load_image()
    color = pixels[:, :, :3].astype(np.float32) * (255.0 / np.iinfo(pixels.dtype).max)
    if mask.shape != color.shape[:2]:
        raise InputError(
            str(view.mask_path),
            expected=f"{color.shape[1]}x{color.shape[0]} pixels, like the image",
            got=f"{mask.shape[1]}x{mask.shape[0]}",
            fix="resize the mask",
        )
    coverage = np.rint(mask * 255).astype(np.uint8)
    if not (coverage >= _SUBJECT).any():
        raise InputError(
            str(view.mask_path or view.image_path),
            expected="a mask with the subject in it",
            got="an empty one",
            fix="correct the mask, or leave this frame out",
        )
    return np.rint(color).astype(np.uint8), coverage


def is_subject(mask: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that a mask calls the object."""
    return mask >= _SUBJECT
