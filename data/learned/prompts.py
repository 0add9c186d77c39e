"""What tells a segmenter which thing is meant: boxes, points and masks in single frames, also made from rough masks.

Does NOT run a model, and does not know any network's coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from recon4d.core import InputError
from recon4d.data.motion import Clip
from recon4d.data.motion.stage import array_digest

_SUBJECT = 128
_LEAST_SHARE = 5e-4  # Of the image; less is not a subject but a speck.


@dataclass(frozen=True, eq=False)
class Prompt:
    """One object, shown in one frame.  A mask says all; else a box, points, or both.

    Attributes:
        frame: of the clip.
        object: number of the object, from 1; prompts with the same number show the same object in several frames.
        box: (left, top, right, bottom) in pixels of the clip, pixel centres at +0.5.
        points: (x, y) of points in pixels of the clip.
        inside: for each point whether it lies on the object; empty means that all do.
        mask: [H, W] the object, at the clip's size.
    """

    frame: int
    object: int = 1
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    mask: Bool[np.ndarray, "h w"] | None = None

    def digest(self) -> str:
        """Identifies the content."""
        return f"{self.frame},{self.object},{self.box},{self.points},{self.inside},{array_digest(self.mask)}"


def check_prompts(prompts: Sequence[Prompt], clip: Clip) -> None:
    """Refuse prompts that do not fit the clip.

    Raises:
        InputError: no prompts; one of no frame of the clip, without content, or outside the frame; two of one object
            in one frame.
    """
    if not prompts:
        raise _wrong("at least one box, point or mask", "none")
    places = [(prompt.object, prompt.frame) for prompt in prompts]
    if len(set(places)) < len(places):
        raise _wrong("one prompt for each object and frame", "several")
    for prompt in prompts:
        if not 0 <= prompt.frame < len(clip):
            raise _wrong(f"a frame from 0 to {len(clip) - 1}", str(prompt.frame))
        if prompt.object < 1:
            raise _wrong("objects numbered from 1", str(prompt.object))
        if prompt.mask is not None:
            if prompt.mask.shape != (clip.height, clip.width) or not prompt.mask.any():
                raise _wrong(
                    f"a mask of {clip.width}x{clip.height} with something in it",
                    f"shape {list(prompt.mask.shape)}, {int(prompt.mask.sum())} pixels",
                )
            if prompt.box is not None or prompt.points:
                raise _wrong("a mask, or a box and points", "both")
            continue
        if prompt.box is None and not prompt.points:
            raise _wrong("a box, points or a mask", "nothing")
        if prompt.inside and len(prompt.inside) != len(prompt.points):
            raise _wrong(f"inside or not for each of {len(prompt.points)} points", str(len(prompt.inside)))
        if prompt.box is not None and not (prompt.box[0] < prompt.box[2] and prompt.box[1] < prompt.box[3]):
            raise _wrong("a box (left, top, right, bottom)", str(prompt.box))
        corners = () if prompt.box is None else (prompt.box[:2], prompt.box[2:])
        for x, y in (*prompt.points, *corners):
            if not (0 <= x <= clip.width and 0 <= y <= clip.height):
                raise _wrong(f"places inside {clip.width}x{clip.height}", f"({x:g}, {y:g})")


def prompt_from_masks(masks: UInt8[np.ndarray, "t h w"], *, points: int = 3, number: int = 1) -> Prompt:
    """Box and points of the object in the frame whose mask looks most trustworthy.

    Args:
        masks: 128 and more = the object; rough ones will do.
        points: how many points inside, each as far from the edge and the others as can be.
        number: of the object.

    Raises:
        InputError: all masks are empty.
    """
    import cv2

    frame = most_trustworthy_frame(masks)
    part = _largest_part(masks[frame] >= _SUBJECT)
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    room = np.pad(part.astype(np.uint8), 1)
    chosen: list[tuple[float, float]] = []
    for _ in range(points):
        distance = cv2.distanceTransform(room, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        if distance[row, column] < 1:
            break
        chosen.append((float(column) + 0.5, float(row) + 0.5))
        # A taken point is a hole: the next one keeps away from it as from the edge.
        room[row + 1, column + 1] = 0
    return Prompt(frame, number, box, tuple(chosen))


def most_trustworthy_frame(masks: UInt8[np.ndarray, "t h w"]) -> int:
    """The frame whose mask is in one piece, of the usual size, and away from the border; the first of equals.

    Raises:
        InputError: all masks are empty.
    """
    import cv2

    areas = np.array([float((mask >= _SUBJECT).mean()) for mask in masks])
    if areas.max(initial=0.0) < _LEAST_SHARE:
        raise _wrong("masks that show the object in a frame", "empty masks")
    usual = float(np.median(areas[areas >= _LEAST_SHARE]))
    scores = np.zeros(len(masks))
    for t in np.flatnonzero(areas >= _LEAST_SHARE):
        mask = masks[t] >= _SUBJECT
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        whole = stats[1:, cv2.CC_STAT_AREA].max() / mask.sum()
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
        scores[t] = whole * min(areas[t] / usual, usual / areas[t]) * (1 - border)
    # Rounded, so that equals are equal on every machine.
    return int(scores.round(6).argmax())


def _largest_part(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _wrong(expected: str, got: str) -> InputError:
    return InputError(
        "prompts", expected=expected, got=got, fix="give a box, points or a mask of the object in a frame"
    )
