"""How well the scene shows the input again: scores of frames kept out of the fit, and of some that were not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon4d.core import Camera
from recon4d.data import Dataset
from recon4d.data.motion.unfinished import Unfinished
from recon4d.evaluate import Evaluation, Settings, evaluate_scene
from recon4d.evaluate.image_scores import ImageScores
from recon4d.evaluate.photometric import psnr
from recon4d.render import RasterOutput, rasterize
from recon4d.scene import Scene
from recon4d.train.capture import Capture

WHITE = (1.0, 1.0, 1.0)
_FITTED_FRAMES = 10  # So many of the fitted frames are scored, for comparison.
ON_WHITE = "psnr_on_white"
_SCORES = ("psnr", "ssim", "ms_ssim", "flip", "psnr_masked", "ssim_masked", "flip_masked")


@dataclass(frozen=True)
class FrameScore:
    """Scores of one frame; None where one does not apply.

    Attributes:
        kept_out: the fit has not seen it.
        psnr, ssim, ms_ssim, flip: of the whole picture.
        psnr_masked, ssim_masked, flip_masked: of the pixels of the mask alone.
        psnr_on_white: of the whole picture of the subject cut out and laid on white.
    """

    frame: int
    time: float
    kept_out: bool
    psnr: float
    ssim: float | None
    ms_ssim: float | None
    flip: float
    psnr_masked: float | None
    ssim_masked: float | None
    flip_masked: float | None
    psnr_on_white: float | None


@dataclass(frozen=True, eq=False)
class Measured:
    """Scores of a reconstruction.

    Attributes:
        kept_out, fitted: means over frames that the fit has not seen, and over some that it has; scores that do not
            apply are None; empty where there are no such frames.
        frames: every frame that was scored, in order.
        on: what images were compared on, in words.
        rule: how frames were kept out, in words.
        test: scores of the data set's own test images, None where it has none.
    """

    kept_out: dict[str, float | None]
    fitted: dict[str, float | None]
    frames: tuple[FrameScore, ...]
    on: str
    rule: str
    test: Evaluation | None

    @property
    def headline(self) -> tuple[str, dict[str, float | None]]:
        """What counts, and its scores: kept-out frames, else test images, else fitted frames."""
        if self.kept_out:
            return "kept-out frames", self.kept_out
        if self.test is not None:
            return "test images", {name: getattr(self.test, name) for name in _SCORES} | {ON_WHITE: None}
        return "fitted frames", self.fitted

    def to_json(self) -> dict[str, object]:
        """All scores."""
        test = None if self.test is None else {k: v for k, v in self.test.to_dict().items() if k != "frames"}
        return {
            "kept_out": self.kept_out,
            "fitted": self.fitted,
            "test": test,
            "compared_on": self.on,
            "rule": self.rule,
            "frames": [asdict(frame) for frame in self.frames],
        }


def draw(scene: Scene, camera: Camera, time: float, color: tuple[float, float, float] = WHITE) -> RasterOutput:
    """The scene as a camera sees it at a time, over a plain colour: the surface, in the colours of its appearance."""
    with torch.no_grad():
        surfels = scene.at(time)
        view, behind = camera.to(surfels.centers), torch.tensor(color).to(surfels.centers)
        output = rasterize(surfels, view, background=behind)
        if all(layer.field.refined is None for layer in scene.layers):
            return output
        return replace(output, color=rasterize(scene.appearance_at(time), view, background=behind).color)


def truth(capture: Capture, index: int) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"] | None]:
    """What a frame should look like: the picture, cut out and laid on white where only objects are reconstructed."""
    image = capture.images[index].astype(np.float32) / 255
    mask = subject_mask(capture, index)
    if capture.background != "none" or mask is None:
        return image, mask
    return image * mask[..., None] + (1 - mask[..., None]), mask


def on_white(
    scene: Scene, capture: Capture, index: int, camera: Camera
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]] | None:
    """A frame's objects alone on white: as the scene draws them, and as the masks cut them out of the picture.

    None where there are no objects.  This is what is compared where subjects are filmed before plain backgrounds: much
    of it is white in both, so its PSNR is higher than that of the mask's pixels alone, but what spills over the
    outline, or hides it, counts.
    """
    mask = subject_mask(capture, index)
    if mask is None or not mask.any():
        return None
    picture = capture.images[index].astype(np.float32) / 255
    objects = replace(scene, layers=[layer for layer in scene.layers if layer.kind == "object"])
    image = draw(objects, camera, capture.times[index]).color.clamp(0, 1).numpy()
    return np.ascontiguousarray(image), picture * mask[..., None] + (1 - mask[..., None])


def subject_mask(capture: Capture, index: int) -> Float[np.ndarray, "h w"] | None:
    """Where any object is in a frame, in [0, 1]; None where there are none."""
    if not capture.masks:
        return None
    return np.max([masks[index] for masks in capture.masks], axis=0).astype(np.float32) / 255


def measure(
    scene: Scene,
    capture: Capture,
    cameras: Sequence[Camera],
    measured: tuple[bool, ...],
    rule: str,
    dataset: Dataset | None,
    parts: Unfinished,
    progress: Callable[[int, int], None],
) -> Measured:
    """Score frames that were kept out, and some that were not.

    Args:
        scene: the result.
        capture: what was fitted.
        cameras: of each frame, as the fit has left them.
        measured: frames that were kept out to measure by.
        rule: how they were chosen, in words.
        dataset: with test images of its own in the scene's world, or None.
        parts: keeps the scores so far.
        progress: told how many frames of how many are done.
    """
    shown = capture.background != "none" or np.array([_shows(capture, i) for i in range(len(capture))])
    kept = np.flatnonzero(np.array(measured) & shown)
    seen = np.flatnonzero(np.array(capture.fitted) & shown)
    some = seen[np.unique(np.linspace(0, len(seen) - 1, _FITTED_FRAMES).round().astype(int))] if len(seen) else seen
    order = [(t, True) for t in kept.tolist()] + [(t, False) for t in some.tolist()]
    frames = [_from_row(row) for row in parts.load("frames").get("rows", np.zeros((0, 0)))]
    for index, kept_out in order[len(frames) :]:
        frames.append(_scored(scene, capture, cameras[index], index, kept_out))
        progress(len(frames), len(order))
        if parts.due:
            parts.keep("frames", rows=np.array([_as_row(frame) for frame in frames]))
    means = [_means([frame for frame in frames if frame.kept_out == group]) for group in (True, False)]
    width, height = capture.images[0].shape[1], capture.images[0].shape[0]
    ground = "the subject on white" if capture.background == "none" else "the whole picture"
    test = None
    if dataset is not None and dataset.split("test"):
        test = evaluate_scene(scene, dataset, protocol="dnerf", settings=Settings(max_side=max(width, height), worst=0))
    frames.sort(key=lambda frame: frame.frame)
    return Measured(means[0], means[1], tuple(frames), f"{ground}, {width}x{height}", rule, test)


def _scored(scene: Scene, capture: Capture, camera: Camera, index: int, kept_out: bool) -> FrameScore:
    reference, mask = truth(capture, index)
    time = capture.times[index]
    image = draw(scene, camera, time).color.clamp(0, 1).numpy()
    found = ImageScores(worst=0).add(str(index), np.ascontiguousarray(image), reference, mask=mask, time=time)
    pair = on_white(scene, capture, index, camera)
    white = None if pair is None else psnr(to_bytes(pair[0]), to_bytes(pair[1]))
    scores = {name: getattr(found, name) for name in _SCORES}
    return FrameScore(frame=index, time=time, kept_out=kept_out, psnr_on_white=white, **scores)


def _means(frames: Sequence[FrameScore]) -> dict[str, float | None]:
    """Of each score, over the frames that have it; empty where there are no frames."""
    result: dict[str, float | None] = {}
    for name in (*_SCORES, ON_WHITE) if frames else ():
        values = [value for frame in frames if (value := getattr(frame, name)) is not None]
        result[name] = float(np.mean(values)) if values else None
    return result


def _as_row(frame: FrameScore) -> list[float]:
    """As numbers, NaN for what does not apply."""
    return [np.nan if value is None else float(value) for value in astuple(frame)]


def _from_row(row: Float[np.ndarray, " n"]) -> FrameScore:
    index, time, kept_out, *values = row.tolist()
    scores: list[Any] = [None if np.isnan(value) else value for value in values]
    return FrameScore(int(index), time, bool(kept_out), *scores)


def _shows(capture: Capture, index: int) -> bool:
    return any(bool((masks[index] >= 128).any()) for masks in capture.masks)


def to_bytes(image: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours in [0, 1] as 8-bit values."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def normal_colors(output: RasterOutput) -> UInt8[np.ndarray, "h w 3"]:
    """Normals as colours on white: right is red, up is green, towards the viewer is blue."""
    toward_viewer = output.normal * torch.tensor([1.0, -1.0, -1.0], dtype=output.normal.dtype)
    colors = 0.5 * toward_viewer + 0.5 * output.alpha + (1 - output.alpha)
    return to_bytes(colors.numpy())
