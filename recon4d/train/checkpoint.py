"""Checkpoints: everything that a fit needs to go on as if it had never stopped.

One safetensors file: arrays, and a JSON text of numbers in its header.  It is written under another name, flushed, and
renamed, so that a kill leaves the old or the new one.  Randomness needs no state: every draw is seeded by the step.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from recon4d.core import InputError
from recon4d.data.files import atomic_path
from recon4d.train.config import FitConfig
from recon4d.train.density import Density
from recon4d.train.model import MOTION, PER_SURFEL, Model
from recon4d.train.optimizer import Optimizer

VERSION = 1


@dataclass(eq=False)
class State:
    """All that changes during a fit.

    Attributes:
        step: steps done.
        model, optimizer, density: see there.
        canonical_time: seconds.
        mean_loss, mean_squared_error: running means over the last views, None before the first.
    """

    step: int
    model: Model
    optimizer: Optimizer
    density: Density
    canonical_time: float
    mean_loss: float | None = None
    mean_squared_error: float | None = None


def identity_of(config: FitConfig, fingerprint: str) -> str:
    """A text that two fits share when one may go on where the other stopped."""
    settings = asdict(config)
    # When it is written or shown does not change what is fitted.
    for name in ("checkpoint_seconds", "snapshot_every"):
        del settings[name]
    return json.dumps({"settings": settings, "frames": fingerprint}, sort_keys=True)


def save_checkpoint(state: State, path: str | os.PathLike[str], identity: str) -> None:
    """Write a checkpoint atomically.

    Raises:
        InputError: the file cannot be written.
    """
    from safetensors.torch import save_file

    model = state.model
    tensors = {f"model.{name}": value.detach() for name, value in model.parameters.items()}
    tensors |= {"ids": model.ids, "slots": model.slots, "rest": model.rest}
    tensors |= {"density.gradient": state.density.gradient, "density.seen": state.density.seen}
    tensors |= {f"adam.{name}": value for name, value in state.optimizer.tensors().items()}
    numbers = {
        "version": VERSION,
        "step": state.step,
        "next_id": model.next_id,
        "bone_times": model.bone_times,
        "root_times": model.root_times,
        "size": model.size,
        "canonical_time": state.canonical_time,
        "mean_loss": state.mean_loss,
        "mean_squared_error": state.mean_squared_error,
    }
    header = {"identity": identity, "numbers": json.dumps(numbers, allow_nan=False)}
    try:
        with atomic_path(Path(path)) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, header)
    except OSError as error:
        raise InputError(
            str(path),
            expected="a file that can be written, on a disk with enough space",
            got=error.strerror or str(error),
            fix="free some space or choose another place",
        ) from None


def load_checkpoint(path: str | os.PathLike[str], config: FitConfig, identity: str) -> State:
    """Read a checkpoint of the same fit.

    Raises:
        InputError: not there, damaged, or of other settings or frames.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        numbers = json.loads(header["numbers"])
        if numbers["version"] != VERSION:
            raise ValueError(f"version {numbers['version']}")
        state = _rebuild(tensors, numbers, config)
    except OSError as error:
        raise InputError(
            str(path), expected="a checkpoint", got=error.strerror or str(error), fix="start without resuming"
        ) from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            str(path), expected="an undamaged checkpoint", got=str(error), fix="delete it and start again"
        ) from None
    if header.get("identity") != identity:
        raise InputError(
            str(path),
            expected="a checkpoint of the same settings and frames",
            got="one of " + _difference(header.get("identity", ""), identity),
            fix="start without resuming, or with the settings of then",
        )
    return state


def _rebuild(tensors: dict[str, Tensor], numbers: dict[str, Any], config: FitConfig) -> State:
    parameters = {name: tensors[f"model.{name}"].requires_grad_() for name in (*PER_SURFEL, *MOTION)}
    model = Model(
        parameters,
        tensors["ids"],
        tensors["slots"],
        tensors["rest"],
        int(numbers["next_id"]),
        (float(numbers["bone_times"][0]), float(numbers["bone_times"][1])),
        (float(numbers["root_times"][0]), float(numbers["root_times"][1])),
        float(numbers["size"]),
    )
    optimizer = Optimizer(model, config)
    optimizer.restore({name.removeprefix("adam."): t for name, t in tensors.items() if name.startswith("adam.")})
    return State(
        int(numbers["step"]),
        model,
        optimizer,
        Density(tensors["density.gradient"], tensors["density.seen"]),
        float(numbers["canonical_time"]),
        numbers["mean_loss"],
        numbers["mean_squared_error"],
    )


def _difference(stored: str, wanted: str) -> str:
    try:
        old, new = json.loads(stored), json.loads(wanted)
        changed = [name for name in new["settings"] if old["settings"].get(name) != new["settings"][name]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unknown settings"
    return "other " + (", ".join(changed) if changed else "frames")
