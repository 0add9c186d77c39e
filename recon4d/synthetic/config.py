"""What to synthesize: one plain record, checked before anything is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recon4d.core import InputError
from recon4d.synthetic.creatures import CREATURE_NAMES
from recon4d.synthetic.trajectories import CAMERA_KINDS, CameraKind

_MOST_PIXELS = 4096


@dataclass(frozen=True)
class SynthesizeConfig:
    """Settings of `synthesize`.

    Attributes:
        subject: name of a built-in creature (quadruped, biped, fish, jelly), or a path that ends in .glb.
        camera: orbit, handheld (continuous, like a person's), static, teleport (D-NeRF's: another view every time), or
            rig (several cameras at once).
        background: none (images with alpha) or room (a textured static yard, opaque images, masks apart).
        frames: moments of the training video.
        val_frames, test_frames: images kept out, each from a camera of its own, at moments spread over the clip.
        width, height: image size in pixels.
        fov_degrees: full vertical field of view.
        fps: frames a second of the video; the clip is played once over all frames, faster or slower as needed.
        plays: how often the clip is played over all frames; there and back when it does not loop.
        seed: of cameras and of the room.
        orbit_turns: how often an orbit goes around.
        elevation_degrees: usual height of the cameras.
        rig_cameras: cameras of a rig.
        action: clip of a .glb (default: its first).
        hide: nodes of a .glb not to show (* and ? stand for letters).
        mottle: give untextured surfaces of a .glb a texture of noise, so that they can be tracked.
        detail: fineness of a creature's mesh, 0.2 to 4.
        zoom: more than 1 makes the subject larger in the image; parts of it may leave the image.
        overwrite: replace a data set that is there; folders with other files are never replaced.
        threads: views rendered at once; 0 means one for each core.  The result does not depend on it.
    """

    subject: str
    camera: CameraKind = "orbit"
    background: Literal["none", "room"] = "none"
    frames: int = 100
    val_frames: int = 10
    test_frames: int = 20
    width: int = 400
    height: int = 400
    fov_degrees: float = 40.0
    fps: float = 30.0
    plays: float = 1.0
    seed: int = 0
    orbit_turns: float = 1.0
    elevation_degrees: float = 15.0
    rig_cameras: int = 6
    action: str | None = None
    hide: tuple[str, ...] = ()
    mottle: bool = True
    detail: float = 1.0
    zoom: float = 1.0
    overwrite: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        if self.subject not in CREATURE_NAMES and Path(self.subject).suffix.lower() != ".glb":
            raise InputError(
                "subject",
                expected=f"{', '.join(CREATURE_NAMES)}, or a path that ends in .glb",
                got=repr(self.subject),
                fix="name a creature or give a binary glTF file",
            )
        _one_of("camera", self.camera, CAMERA_KINDS)
        _one_of("background", self.background, ("none", "room"))
        counts = {"frames": (1, 100_000), "val_frames": (0, 100_000), "test_frames": (0, 100_000), "seed": (0, 2**31)}
        counts |= {"width": (1, _MOST_PIXELS), "height": (1, _MOST_PIXELS), "rig_cameras": (1, 256)}
        counts |= {"threads": (0, 1024)}
        for name, (low, high) in counts.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise _out_of_range(name, f"a whole number from {low} to {high}", value)
        ranges = {"fov_degrees": (1, 150), "fps": (0.1, 1000), "plays": (0.01, 1000), "orbit_turns": (-100, 100)}
        ranges |= {"elevation_degrees": (-60, 75), "detail": (0.2, 4), "zoom": (0.1, 10)}
        for name, (least, most) in ranges.items():
            number = getattr(self, name)
            if not math.isfinite(number) or not least <= number <= most:
                raise _out_of_range(name, f"a number from {least} to {most}", number)
        if self.subject in CREATURE_NAMES and (self.action is not None or self.hide):
            raise _out_of_range("action, hide", "nothing for a built-in creature", (self.action, self.hide))


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(name, expected=f"one of {', '.join(choices)}", got=repr(value), fix="choose one of them")


def _out_of_range(name: str, expected: str, value: object) -> InputError:
    return InputError(name, expected=expected, got=repr(value), fix=f"change {name}")
