"""Depth maps of single frames by learned models: Depth Anything (Yang et al., 2024), DPT / MiDaS, ZoeDepth.

What comes out is inverse depth.  Unless `metric`, scale and shift are unknown and differ from frame to frame: see
`alignment.py`.  Does NOT know cameras, and does not make frames agree with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float16, Float32, Int64, UInt8
from torch import Tensor

from recon4d.core import InputError
from recon4d.data.files import write_json
from recon4d.data.learned import preprocessing
from recon4d.data.learned.weights import DeviceChoice, Weights, load_model, open_weights
from recon4d.data.motion import Clip
from recon4d.data.motion.stage import (
    RECORD,
    Progress,
    StageCache,
    array_digest,
    cannot_write,
    mapped_array,
    no_progress,
    open_cache,
    stage_key,
)
from recon4d.data.motion.unfinished import Unfinished, unfinished

_VERSION = 1
_FILES = ("preprocessor_config.json", "processor_config.json")
_NEAREST_METRES = 1e-3
_LARGEST = 6e4  # 16 bits hold no more.


@dataclass(frozen=True)
class LearnedDepthSettings:
    """How to find depth.

    Attributes:
        batch: frames that go through the network together; memory grows with it.
        device: where the model runs.
    """

    batch: int = 2
    device: DeviceChoice = "auto"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError("batch", expected=">= 1", got=repr(self.batch), fix="raise it")


@dataclass(frozen=True, eq=False)
class Depths:
    """Inverse depth of each frame.

    Attributes:
        inverse: [T, H, W] >= 0 at the clip's size: 1 / metres if `metric`, else up to an unknown scale and shift of
            each frame; 0 = infinitely far.  Memory-mapped where there is a work folder.
        metric: whether the model claims to know metres.
        model: what made it.
        key: identifies content and settings.
    """

    inverse: Float16[np.ndarray, "t h w"]
    metric: bool
    model: str
    key: str

    def __len__(self) -> int:
        return len(self.inverse)

    def at(self, frame: int) -> Float32[np.ndarray, "h w"]:
        """Inverse depth of one frame."""
        return np.asarray(self.inverse[frame], np.float32)


def learned_depth(
    clip: Clip,
    weights: str | Weights,
    settings: LearnedDepthSettings | None = None,
    *,
    frames: Bool[np.ndarray, " t"] | None = None,
    download: bool = False,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Depths:
    """Inverse depth of every frame, each by itself.

    Args:
        clip: frames, of any number of cameras.
        weights: `depth-anything:FOLDER`, `dpt:FOLDER`, `zoedepth:FOLDER`, or weights that are open.
        settings: see `LearnedDepthSettings`.
        frames: [T] those that are wanted; the others stay 0.  All when None.
        download: whether weights that are not there may be fetched.
        work: folder that keeps the result; without one it is held in memory, two bytes a pixel.
        progress: called as `progress("depth", done, total)`.

    Raises:
        InputError: no such weights, a processor that is not known here, a model that answers with something that is
            not finite, or a full work folder.
    """
    opened = open_weights(weights, makes="depth", download=download)
    settings = settings or LearnedDepthSettings()
    cache = open_cache(work)
    rows = np.arange(len(clip)) if frames is None else np.flatnonzero(frames)
    chosen = () if frames is None else (array_digest(rows),)
    # The batch changes nothing but rounding.
    key = stage_key("learned-depth", _VERSION, _Key(settings.device), clip.key, opened.digest, *chosen)
    metric = _is_metric(opened)
    name = f"{opened.adapter.name} ({opened.folder.name})"
    stored = cache.load("learned-depth", key) if cache else None
    if stored is not None:
        return Depths(stored[1]["inverse"], metric, name, key)
    prepare = _preprocessing(opened)
    model = load_model(opened, settings.device)
    shape = clip.frames.shape[:3]
    if cache is None:
        inverse = np.zeros(shape, np.float16)
        _fill(clip, rows, model, prepare, metric, settings.batch, inverse, Unfinished(None, ""), progress)
        return Depths(inverse, metric, name, key)
    try:
        with unfinished(cache, "learned-depth", key) as parts, cache.writing("learned-depth", key) as folder:
            mapped: Any = mapped_array(folder / "inverse.npy", np.dtype(np.float16), shape)
            _fill(clip, rows, model, prepare, metric, settings.batch, mapped, parts, progress)
            mapped.flush()
            write_json(folder / RECORD, {"arrays": ["inverse"], "model": name})
    except OSError as error:
        raise cannot_write(cache.folder, error) from None
    stored = cache.load("learned-depth", key)
    if stored is None:
        raise cannot_write(cache.folder, OSError("the result cannot be read back"))
    return Depths(stored[1]["inverse"], metric, name, key)


@dataclass(frozen=True)
class _Key:
    device: str


def _is_metric(weights: Weights) -> bool:
    """Whether metres come out, instead of relative inverse depth."""
    return weights.adapter.name == "zoedepth" or weights.config.get("depth_estimation_type") == "metric"


def _preprocessing(weights: Weights) -> preprocessing.Preprocessing:
    defaults = {
        "depth-anything": preprocessing.DEPTH_ANYTHING,
        "dpt": preprocessing.DPT,
        "zoedepth": preprocessing.ZOEDEPTH,
    }
    return preprocessing.read_preprocessing(weights.folder, _FILES, defaults[weights.adapter.name])


def _fill(
    clip: Clip,
    rows: Int64[np.ndarray, " n"],
    model: Callable[..., Any],
    prepare: preprocessing.Preprocessing,
    metric: bool,
    batch: int,
    inverse: Any,
    parts: Unfinished,
    progress: Progress,
) -> None:
    done = parts.load("frames").get("inverse", np.zeros((0, *inverse.shape[1:]), np.float16))
    inverse[rows[: len(done)]] = done
    for start in range(len(done), len(rows), batch):
        some = rows[start : start + batch]
        inverse[some] = _inverse_depth(clip.frames[some], model, prepare, metric)
        progress("depth", start + len(some), len(rows))
        if parts.due:
            parts.keep("frames", inverse=inverse[rows[: start + len(some)]])


def _inverse_depth(
    frames: UInt8[np.ndarray, "b h w 3"], model: Any, prepare: preprocessing.Preprocessing, metric: bool
) -> Float16[np.ndarray, "b h w"]:
    device = next(model.parameters()).device
    with torch.inference_mode():
        answer: Tensor = model(pixel_values=prepare(frames, device)).predicted_depth
        full = prepare.undo_size(answer.float(), frames.shape[1], frames.shape[2])
    if not bool(full.isfinite().all()):
        raise InputError(
            "depth", expected="finite numbers", got="NaN or infinity from the model", fix="check the weights"
        )
    full = 1 / full.clamp_min(_NEAREST_METRES) if metric else full.clamp_min(0)
    return np.asarray(full.clamp_max(_LARGEST).cpu().numpy(), np.float16)
