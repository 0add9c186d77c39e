"""Masks by SAM 2 (Ravi et al., 2024): objects that are shown in some frames, found in all of them.

The network follows each object forward and backward from where it was shown.  Frames are prepared one at a time and
what it remembers is cut to what it still looks at, so memory does not grow with the length of the clip but for the
network's own small masks (two bytes a pixel of, usually, 256 x 256).  Does NOT find out by itself what the subject is:
without prompts it takes the classical masks' word for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, UInt8
from torch import Tensor

from recon4d.core import InputError
from recon4d.data.learned.preprocessing import Preprocessing, read_preprocessing
from recon4d.data.learned.prompts import Prompt, check_prompts, prompt_from_masks
from recon4d.data.learned.weights import DeviceChoice, Weights, load_model, open_weights, require_transformers
from recon4d.data.motion import Clip, MaskHealth, Masks, MaskSettings, find_masks, with_masks
from recon4d.data.motion.flow import require_sequence
from recon4d.data.motion.stage import Progress, StageCache, no_progress, open_cache, stage_key

_VERSION = 1
_FILES = ("video_preprocessor_config.json", "processor_config.json", "preprocessor_config.json")
_NOTHING = -1e4  # Logits are kept in 16 bits; what is further down is as surely nothing.


@dataclass(frozen=True)
class LearnedMaskSettings:
    """How to find masks by a learned model.

    Attributes:
        points: inside points taken from a rough mask, beside its box.
        device: where the model runs.
    """

    points: int = 3
    device: DeviceChoice = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.points <= 16:
            raise InputError("points", expected="0 to 16", got=repr(self.points), fix="3 is usual")


def learned_masks(
    clip: Clip,
    weights: str | Weights,
    prompts: Sequence[Prompt] | None = None,
    settings: LearnedMaskSettings | None = None,
    *,
    download: bool = False,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Masks:
    """The masks of everything that was prompted, taken together.

    Args and errors are those of `learned_objects`.
    """
    objects = learned_objects(clip, weights, prompts, settings, download=download, work=work, progress=progress)
    if len(objects) == 1:
        return objects[0]
    cache = open_cache(work)
    settings = settings or LearnedMaskSettings()
    key = stage_key("learned-masks", _VERSION, settings, *(one.key for one in objects))
    stored = cache.load("learned-masks", key) if cache else None
    if stored is not None:
        return Masks(stored[1]["masks"], _health_of(stored[0]["health"]), key)
    together = np.zeros(clip.frames.shape[:3], np.uint8)
    for one in objects:
        assert one.masks is not None
        for frame, mask in enumerate(one.masks):
            np.maximum(together[frame], mask, out=together[frame])
    health = _judged(clip, together, f"{len(objects)} objects; {objects[0].health.reason}", "all objects")
    if cache is not None:
        cache.store("learned-masks", key, {"health": asdict(health)}, {"masks": together})
    return Masks(together, health, key)


def learned_objects(
    clip: Clip,
    weights: str | Weights,
    prompts: Sequence[Prompt] | None = None,
    settings: LearnedMaskSettings | None = None,
    *,
    download: bool = False,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> tuple[Masks, ...]:
    """The masks of each prompted object, in the order of their numbers; they do not overlap.

    Args:
        clip: frames of one camera.
        weights: `sam2:FOLDER`, or weights that are open.
        prompts: what is meant; None takes the classical masks' most trustworthy frame.
        settings: see `LearnedMaskSettings`.
        download: whether weights that are not there may be fetched.
        work: folder that keeps the result.
        progress: called as `progress("masks", done, total)`.

    Raises:
        InputError: no such weights, prompts that do not fit, no prompts and no subject found, several cameras, or
            masks that come out empty or full in all frames.
    """
    require_sequence(clip, "learned masks")
    opened = open_weights(weights, makes="masks", download=download)
    settings = settings or LearnedMaskSettings()
    cache = open_cache(work)
    if prompts is None:
        prompts = [_prompt_by_classical_masks(clip, settings, cache)]
        source = f"the classical mask of frame {prompts[0].frame}"
    else:
        check_prompts(prompts, clip)
        source = f"prompts in {len({prompt.frame for prompt in prompts})} frames"
    prompts = sorted(prompts, key=lambda prompt: (prompt.object, prompt.frame))
    numbers = sorted({prompt.object for prompt in prompts})
    key = stage_key("learned-objects", _VERSION, settings, clip.key, opened.digest, *(p.digest() for p in prompts))
    keys = [f"{key}-{number}" for number in numbers]
    stored = cache.load("learned-objects", key) if cache else None
    if stored is not None:
        record, arrays = stored
        health: Any = record["health"]
        return tuple(
            Masks(arrays[f"object_{number}"], _health_of(health[str(number)]), name)
            for number, name in zip(numbers, keys, strict=True)
        )
    logits = _logits(clip, opened, prompts, settings, progress)
    reason = f"SAM 2 ({opened.folder.name}) followed {source}"
    found: list[Masks] = []
    for index, (number, name) in enumerate(zip(numbers, keys, strict=True)):
        masks = np.zeros(clip.frames.shape[:3], np.uint8)
        for frame in range(len(clip)):
            masks[frame] = coverage_from_logits(exclusive(logits[:, frame], index), clip.height, clip.width)
        found.append(Masks(masks, _judged(clip, masks, reason, f"masks of object {number}"), name))
    if cache is not None:
        record = {"health": {str(number): asdict(one.health) for number, one in zip(numbers, found, strict=True)}}
        arrays = {f"object_{number}": one.masks for number, one in zip(numbers, found, strict=True)}  # type: ignore[misc]
        cache.store("learned-objects", key, record, arrays)
    return tuple(found)


def masks_or_classical(
    clip: Clip,
    weights: str | Weights,
    prompts: Sequence[Prompt] | None = None,
    settings: LearnedMaskSettings | None = None,
    *,
    download: bool = False,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Masks:
    """Learned masks; where weights or their package are missing, the classical ones with one line that says so.

    Args are those of `learned_objects`.  Wrong prompts, and masks that come out useless, are still errors.
    """
    try:
        opened = open_weights(weights, makes="masks", download=download)
    except InputError as error:
        masks = find_masks(clip, work=work, progress=progress)
        text = f"classical masks were used instead: {error}"
        return replace(masks, health=replace(masks.health, warnings=(text, *masks.health.warnings)))
    return learned_masks(clip, opened, prompts, settings, work=work, progress=progress)


def coverage_from_logits(logits: Float32[np.ndarray, "a b"], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """A mask with one pixel of soft edge, of a small map whose zero level is the edge.

    The coverage of a pixel is its signed distance from the edge, estimated by value over gradient, plus one half; so
    timid values far from an edge still count in full.

    Args:
        logits: over the whole frame, at any size and aspect.
        height, width: of the frame.
    """
    small = torch.from_numpy(np.ascontiguousarray(logits))[None, None]
    full = torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()
    rows, columns = np.gradient(full)
    slope = np.abs(rows) + np.abs(columns) + np.float32(1e-6)
    return np.rint(np.clip(0.5 + full / slope, 0, 1) * 255).astype(np.uint8)


def exclusive(logits: Float16[np.ndarray, "objects a b"], index: int) -> Float32[np.ndarray, "a b"]:
    """One object's logits, lowered where another one's are higher: no pixel belongs to two objects."""
    values = logits.astype(np.float32)
    others = np.delete(values, index, 0)
    return values[index] if not len(others) else np.minimum(values[index], values[index] - others.max(0))


def _prompt_by_classical_masks(clip: Clip, settings: LearnedMaskSettings, cache: StageCache | None) -> Prompt:
    rough = find_masks(clip, work=cache).masks
    if rough is None:
        raise InputError(
            "prompts",
            expected="a box, points or a mask of the subject",
            got="none, and the classical masks find no subject either",
            fix="mark the subject in one frame",
        )
    return prompt_from_masks(rough, points=settings.points)


def _judged(clip: Clip, masks: UInt8[np.ndarray, "t h w"], reason: str, what: str) -> MaskHealth:
    try:
        health = find_masks(with_masks(clip, masks), MaskSettings("given")).health
    except InputError as error:
        raise InputError(
            what,
            expected=error.expected,
            got=error.got,
            fix="prompt the subject in a clearer frame, or use --masks auto",
        ) from None
    return replace(health, method="learned", reason=reason)


def _health_of(record: Any) -> MaskHealth:
    low, high = record["coverage_range"]
    return MaskHealth(**{**record, "coverage_range": (low, high), "warnings": tuple(record["warnings"])})


def _logits(
    clip: Clip, weights: Weights, prompts: Sequence[Prompt], settings: LearnedMaskSettings, progress: Progress
) -> Float16[np.ndarray, "objects t a b"]:
    """The network's small masks of all objects; objects that are shown in the same frames are followed together."""
    model = load_model(weights, settings.device)
    side = model.config.image_size
    default = Preprocessing(side, side) if isinstance(side, int) else Preprocessing(*side)
    prepare = read_preprocessing(weights.folder, _FILES, default)
    if (prepare.height, prepare.width) != (default.height, default.width):
        prepare = replace(prepare, height=default.height, width=default.width)
    numbers = sorted({prompt.object for prompt in prompts})
    groups: dict[tuple[int, ...], list[int]] = {}
    for number in numbers:
        frames = tuple(prompt.frame for prompt in prompts if prompt.object == number)
        groups.setdefault(frames, []).append(number)
    result: Float16[np.ndarray, "objects t a b"] | None = None
    steps = 0
    for members in groups.values():
        followed = [prompt for prompt in prompts if prompt.object in members]
        rows = [numbers.index(number) for number in members]
        for frame, masks in follow(model, clip, prepare, followed):
            values = masks.float().cpu().numpy()
            if result is None:
                result = np.full((len(numbers), len(clip), *values.shape[1:]), _NOTHING, np.float16)
            result[rows, frame] = np.clip(values, _NOTHING, -_NOTHING)
            steps += 1
            progress("masks", steps, len(clip) * len(groups))
    assert result is not None
    return result


def follow(
    model: Any, clip: Clip, prepare: Preprocessing, prompts: Sequence[Prompt], *, forget: bool = True
) -> Iterator[tuple[int, Float[Tensor, "objects a b"]]]:
    """Objects through the clip, forward from the first prompted frame and then backward from it.

    Args:
        model: Sam2VideoModel.
        clip: the frames.
        prepare: makes the network's input of a frame.
        prompts: sorted by object and frame; all objects are prompted in the same frames.
        forget: drop what the network will not look at again; changes nothing but the memory used.

    Yields:
        Frame and logits of the objects in the order of their numbers; each frame once.
    """
    device = next(model.parameters()).device
    session = require_transformers("sam2").Sam2VideoInferenceSession(
        video_height=clip.height, video_width=clip.width, inference_device=device, inference_state_device=device,
        video_storage_device=device, dtype=torch.float32,
    )  # fmt: skip
    session.processed_frames = _Frames(clip, lambda frame: prepare(clip.frames[frame : frame + 1], device)[0])
    numbers = sorted({prompt.object for prompt in prompts})
    shown = sorted({prompt.frame for prompt in prompts})
    with torch.inference_mode():
        for frame in shown:
            here = [prompt for prompt in prompts if prompt.frame == frame]
            for prompt in here:
                _add(session, prompt, clip, (prepare.height, prepare.width))
            session.obj_with_new_inputs = [prompt.object for prompt in here]
            model(session, frame_idx=frame)
        assert session.obj_ids == numbers
        for backward in (False, True):
            order = range(shown[0] - 1, -1, -1) if backward else range(shown[0], len(clip))
            for frame in order:
                masks = model(session, frame_idx=frame, reverse=backward).pred_masks
                if forget:
                    _forget(session, model.config, frame, shown[0])
                yield frame, masks[:, 0]


class _Frames:
    """The session's frames, prepared when they are asked for."""

    def __init__(self, clip: Clip, prepare: Callable[[int], Tensor]) -> None:
        self._length, self._prepare = len(clip), prepare

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, frame: int) -> Float[Tensor, "3 a b"]:
        return self._prepare(frame)


def network_points(
    prompt: Prompt, clip: Clip, size: tuple[int, int]
) -> tuple[Float32[Tensor, "1 1 p 2"], Float32[Tensor, "1 1 p"]]:
    """A prompt's box corners and points in pixels of the network's input, and their labels.

    The network counts from pixel centres and adds one half itself.  Labels: 1 inside, 0 outside, 2 and 3 the corners.
    """
    corners = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
    places = torch.tensor([*corners, *prompt.points], dtype=torch.float32)
    scale = torch.tensor([size[1] / clip.width, size[0] / clip.height])
    inside = prompt.inside or (True,) * len(prompt.points)
    labels = torch.tensor([*((2.0, 3.0) if corners else ()), *(float(yes) for yes in inside)])
    return (places * scale - 0.5)[None, None], labels[None, None]


def _add(session: Any, prompt: Prompt, clip: Clip, size: tuple[int, int]) -> None:
    index = session.obj_id_to_idx(prompt.object)
    if prompt.mask is None:
        places, labels = network_points(prompt, clip, size)
        inputs = {"point_coords": places, "point_labels": labels.to(torch.int32)}
        session.add_point_inputs(index, prompt.frame, inputs)
        return
    mask = torch.from_numpy(prompt.mask)[None, None].float()
    small = torch.nn.functional.interpolate(mask, size, mode="bilinear", align_corners=False, antialias=True)
    session.add_mask_inputs(index, prompt.frame, (small >= 0.5).float())


def _forget(session: Any, config: Any, frame: int, start: int) -> None:
    """Drop what neither this pass nor the backward pass from `start` will look at again."""
    reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)
    for outputs in session.output_dict_per_obj.values():
        tracked = outputs["non_cond_frame_outputs"]
        for other in [t for t in tracked if min(abs(t - frame), abs(t - start)) > reach]:
            del tracked[other]
        for kept in tracked.values():
            # Full-size masks, by far the largest part, serve only the step that made them.
            kept.pop("high_res_masks", None)
            kept.pop("pred_masks", None)
