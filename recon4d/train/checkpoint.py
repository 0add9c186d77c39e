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

import torch
from torch import Tensor

from recon4d.core import InputError, SE3Spline
from recon4d.data.files import StorageError, atomic_path
from recon4d.train.backdrop import Backdrop
from recon4d.train.cameras import Cameras
from recon4d.train.config import FitConfig
from recon4d.train.density import Density
from recon4d.train.model import Model
from recon4d.train.moving_object import MovingObject
from recon4d.train.optimizer import Optimizer
from recon4d.train.part import Part

VERSION = 2


@dataclass(eq=False)
class State:
    """All that changes during a fit.

    Attributes:
        step: steps done.
        model, optimizer: see there.
        density: of each part.
        warnings: sentences for the user.
        curve: (step, loss, PSNR, surfels) of every snapshot.
        mean_loss, mean_squared_error: running means over the last views, None before the first.
    """

    step: int
    model: Model
    optimizer: Optimizer
    density: list[Density]
    warnings: list[str]
    curve: list[tuple[int, float, float, int]]
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
        StorageError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    model = state.model
    tensors = {f"model.{name}": value.detach() for name, value in model.parameters().items()}
    for part, density in zip(model.parts, state.density, strict=True):
        tensors |= {f"{part.name}.{name}": value for name, value in _kept(part).items()}
        tensors |= {f"{part.name}.gradient": density.gradient, f"{part.name}.seen": density.seen}
    tensors |= {f"adam.{name}": value for name, value in state.optimizer.tensors().items()}
    numbers = {
        "version": VERSION,
        "step": state.step,
        "canonical_time": model.canonical_time,
        "of_one_moment": model.of_one_moment,
        "parts": [_described(part) for part in model.parts],
        "warnings": state.warnings,
        "curve": state.curve,
        "mean_loss": state.mean_loss,
        "mean_squared_error": state.mean_squared_error,
    }
    header = {"identity": identity, "numbers": json.dumps(numbers, allow_nan=False)}
    try:
        with atomic_path(Path(path)) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, header)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise StorageError(
            str(path),
            expected="a file that can be written, on a disk with enough space",
            got=reason or str(error),
            fix="free some space or choose another place",
        ) from None


def load_checkpoint(
    path: str | os.PathLike[str], config: FitConfig, identity: str, device: torch.device | None = None
) -> State:
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
        state = _rebuild(tensors, numbers, config, device or torch.device("cpu"))
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


def _described(part: Part) -> dict[str, Any]:
    """What is not in tensors."""
    common = {"name": part.name, "kind": part.kind, "next_id": part.next_id, "size": part.size}
    if isinstance(part, MovingObject):
        return common | {"bone_times": part.bone_times, "root_times": part.root_times, "blend": part.blend}
    assert isinstance(part, Backdrop)
    carried = None if part.carried is None else (part.carried.start, part.carried.step)
    return common | {"frame": part.frame, "carried": carried}


def _kept(part: Part) -> dict[str, Tensor]:
    """Tensors that are not parameters."""
    if isinstance(part, MovingObject):
        box = {} if part.box is None else {"box": part.box}
        return {"ids": part.ids, "neighbours": part.neighbours, "slots": part.slots, "rest": part.rest} | box
    assert isinstance(part, Backdrop)
    carried = part.carried
    paths = {} if carried is None else {"carried_turns": carried.rotations_wxyz, "carried_shifts": carried.translations}
    return {"ids": part.ids, "neighbours": part.neighbours} | paths


def _rebuild(tensors: dict[str, Tensor], numbers: dict[str, Any], config: FitConfig, device: torch.device) -> State:
    values = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    parts = [_rebuilt_part(known, values, tensors, device) for known in numbers["parts"]]
    cameras = Cameras(_leaves(values, "cameras", device))
    model = Model(parts, cameras, float(numbers["canonical_time"]), bool(numbers["of_one_moment"]))
    optimizer = Optimizer(model, config)
    moments = {name.removeprefix("adam."): t for name, t in tensors.items() if name.startswith("adam.")}
    optimizer.restore({name: t if name.endswith(".step") else t.to(device) for name, t in moments.items()})
    return State(
        int(numbers["step"]),
        model,
        optimizer,
        [Density(tensors[f"{p.name}.gradient"].to(device), tensors[f"{p.name}.seen"].to(device)) for p in parts],
        [str(text) for text in numbers["warnings"]],
        [(int(s), float(a), float(b), int(n)) for s, a, b, n in numbers["curve"]],
        numbers["mean_loss"],
        numbers["mean_squared_error"],
    )


def _rebuilt_part(
    known: dict[str, Any], values: dict[str, Tensor], tensors: dict[str, Tensor], device: torch.device
) -> Part:
    name = str(known["name"])
    common = (name, known["kind"], _leaves(values, name, device), tensors[f"{name}.ids"])
    numbers = (int(known["next_id"]), float(known["size"]), tensors[f"{name}.neighbours"].to(device))
    if "bone_times" in known:
        return MovingObject(
            *common,
            *numbers,
            slots=tensors[f"{name}.slots"].to(device),
            rest=tensors[f"{name}.rest"].to(device),
            bone_times=(float(known["bone_times"][0]), float(known["bone_times"][1])),
            root_times=(float(known["root_times"][0]), float(known["root_times"][1])),
            blend=known["blend"],
            box=tensors[f"{name}.box"].to(device) if f"{name}.box" in tensors else None,
        )
    carried = None
    if known["carried"] is not None:
        paths = tensors[f"{name}.carried_turns"], tensors[f"{name}.carried_shifts"]
        carried = SE3Spline(*paths, float(known["carried"][0]), float(known["carried"][1]))
    return Backdrop(*common, *numbers, frame=known["frame"], carried=carried)


def _leaves(values: dict[str, Tensor], owner: str, device: torch.device) -> dict[str, Tensor]:
    mine = {name.split(".")[1]: value for name, value in values.items() if name.split(".")[0] == owner}
    return {name: value.to(device).requires_grad_() for name, value in mine.items()}


def _difference(stored: str, wanted: str) -> str:
    try:
        old, new = json.loads(stored), json.loads(wanted)
        changed = [name for name in new["settings"] if old["settings"].get(name) != new["settings"][name]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unknown settings"
    return "other " + (", ".join(changed) if changed else "frames")
