"""What a reconstruction is asked for: one plain record, the same whether it comes from the command line or from Python.

Does NOT hold what changes nothing in the result: where to write, whether to resume, and how to show progress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from recon4d.core import InputError
from recon4d.data.learned import ADAPTERS
from recon4d.train import PRESETS

CameraChoice = Literal["auto", "file", "static", "scene", "object"]
BackgroundChoice = Literal["auto", "none", "static", "camera"]
Device = Literal["auto", "cpu", "cuda"]
Blend = Literal["linear", "dual-quaternion"]
Preset = Literal["draft", "standard", "high"]

KEEP_OUT_EVERY = 10
_MOST_NODES = 48  # The gradient of a grid is as large as the grid.
KEEP_OUT_FROM = 20  # Frames; shorter clips cannot spare any.

MOTION_PERCENT = 0.4  # Of the long side: neighbours that are nearer are not all needed to follow motion.
MEASURED = 100  # Of frames that are kept out, at most so many are measured by.


@dataclass(frozen=True)
class Limits:
    """What a preset takes of a clip, where nothing else is asked for.

    Attributes:
        side: longest side of the frames, pixels.
        fitted: most frames that are fitted or kept out.
        followed: most frames that masks, cameras and tracks are found with.
    """

    side: int
    fitted: int
    followed: int


LIMITS = {"draft": Limits(480, 120, 480), "standard": Limits(720, 300, 600), "high": Limits(1080, 600, 900)}
_FOLLOWED_SHARE = 4  # Frames followed for each one that is asked for.


@dataclass(frozen=True)
class ReconstructSettings:
    """Everything that decides the result, besides the input.

    Attributes:
        cameras: auto; file (from the data set); static (one pose); scene (from the background); object (from the
            subject, which then stands still in the world).
        masks: auto, none, `sam2:FOLDER` (a learned model's weights), or the path of masks: a folder or video, white =
            subject; several labels, or one folder for each, are several objects.
        depth: none; file (the data set's depth maps); a folder of depth maps (camera z, 0 = unknown); or
            `depth-anything:FOLDER` and the like (a learned model's weights).
        preset: draft, standard or high.
        device: where the fit runs.
        keep_out: every so many frames one is kept out of the fit to measure by; "auto" is 10 where there are 20 frames
            or more and the data set has no test images; "none" keeps none out.
        train_every: fit only every so many frames and measure on all others (4 is Vidu4D's protocol).
        max_frames: of longer clips so many frames are used for the fit, evenly in motion; None: by the preset.
        max_side: larger frames are made smaller, pixels of the long side; None: by the preset.
        focal: focal length as a multiple of the long side; None: from EXIF data, or solved for.
        seed: of everything random.
        background: auto; none (what is outside the masks is left out); static (it stands still in the world); camera
            (it stands still before the camera, as behind a turntable).
        blend: how bones' motions are blended.
        residual: nodes of a grid of displacements that take what bones cannot, along the subject's longest side, up to
            48; 0: none.
    """

    cameras: CameraChoice = "auto"
    masks: str = "auto"
    depth: str = "none"
    preset: Preset = "standard"
    device: Device = "auto"
    keep_out: int | Literal["auto", "none"] = "auto"
    train_every: int | None = None
    max_frames: int | None = None
    max_side: int | None = None
    focal: float | None = None
    seed: int = 0
    background: BackgroundChoice = "auto"
    blend: Blend = "linear"
    residual: int = 0

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "cameras": get_args(CameraChoice),
            "preset": tuple(PRESETS),
            "device": get_args(Device),
            "background": get_args(BackgroundChoice),
            "blend": get_args(Blend),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise _wrong(name, ", ".join(allowed), getattr(self, name), "choose one of them")
        for option, spec, makes in (("masks", self.masks, "masks"), ("depth", self.depth, "depth")):
            if is_learned(spec) and ADAPTERS[spec.partition(":")[0]].makes != makes:
                good = " or ".join(f"{name}:FOLDER" for name, adapter in ADAPTERS.items() if adapter.makes == makes)
                raise _wrong(option, good, spec, f"choose a model that makes {makes}")
        if isinstance(self.keep_out, str):
            if self.keep_out not in ("auto", "none"):
                raise _wrong("keep_out", "a whole number >= 2, auto or none", self.keep_out, "10 is a good choice")
        elif self.keep_out < 2:
            raise _wrong("keep_out", "a whole number >= 2, auto or none", self.keep_out, "10 is a good choice")
        if self.train_every is not None and self.keep_out != "auto":
            raise _wrong("train_every", "no --keep-out beside it", self.train_every, "leave one of the two out")
        least = {"train_every": 2, "max_frames": 2, "max_side": 16, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise _wrong(name, f"a whole number >= {low}", value, "raise it")
        if self.residual != 0 and not 2 <= self.residual <= _MOST_NODES:
            raise _wrong("residual", f"0, or from 2 to {_MOST_NODES}", self.residual, "24 is a good choice")
        if self.focal is not None and not 0.2 <= self.focal <= 20:
            raise _wrong(
                "focal",
                "a multiple of the image's long side from 0.2 to 20",
                self.focal,
                "about 0.8 is a phone, 1.2 a normal lens; divide pixels by the long side",
            )

    @property
    def side_limit(self) -> int:
        """Longest side of the frames, pixels."""
        return self.max_side or LIMITS[self.preset].side

    def frame_limit(self, *, posed: bool) -> int:
        """Most frames to fit or keep out; posed images are thinned out only when that is asked for."""
        return self.max_frames or (1_000_000 if posed else LIMITS[self.preset].fitted)

    def motion_limit(self, *, posed: bool) -> int:
        """Most frames to find masks, cameras and tracks with; no more than are fitted where cameras are known."""
        fitted = self.frame_limit(posed=posed)
        return fitted if posed else max(fitted, min(LIMITS[self.preset].followed, _FOLLOWED_SHARE * fitted))


def is_learned(spec: str) -> bool:
    """Whether something is to come from a learned model, as in `sam2:FOLDER`."""
    return spec.partition(":")[0] in ADAPTERS and ":" in spec


def _wrong(name: str, expected: str, got: object, fix: str) -> InputError:
    return InputError(f"--{name.replace('_', '-')}", expected=expected, got=str(got), fix=fix)
