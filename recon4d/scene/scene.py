"""What a scene is, in memory.  Reading and writing it is done in `load` and `save`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels
from recon4d.field import Field

LAYER_KINDS = ("object", "background")


@dataclass(frozen=True, eq=False)
class Layer:
    """One part of a scene that moves, and is edited, on its own.

    Attributes:
        name: unique within the scene, printable, at most 128 characters.
        kind: "object" or "background".
        field: the surfels and their warp.
    """

    name: str
    kind: Literal["object", "background"]
    field: Field


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers of moving surfels, and the frames and cameras that they were made from.

    Attributes:
        frame_times: [F] seconds, strictly increasing, at least one.
        cameras: the camera of each frame.
        layers: any number of layers.
        metres_per_unit: metres in one scene unit, None when not known.
        provenance: free JSON values on where the scene comes from (input hash, settings, seed, version, metrics).
    """

    frame_times: Float64[Tensor, " f"]
    cameras: list[Camera]
    layers: list[Layer]
    metres_per_unit: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def layer(self, name: str) -> Layer:
        """The layer of that name; InputError when there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(repr(layer.name) for layer in self.layers)
        raise InputError("layer", expected=f"one of {names or 'no layers'}", got=repr(name), fix="check the spelling")

    def at(self, time: float | int) -> Surfels:
        """The surfaces of all layers at one moment (seconds) as one set of surfels, in the order of the layers."""
        return merge_surfels([layer.field.at(time) for layer in self.layers])

    def appearance_at(self, time: float | int) -> Surfels:
        """The surfels to draw in colour, as `at`; the same as `at` where no layer is refined."""
        return merge_surfels([layer.field.appearance_at(time) for layer in self.layers])


def merge_surfels(parts: Sequence[Surfels]) -> Surfels:
    """One set of surfels out of several without batch axes, in their order.

    Colours of lower spherical-harmonics degree are filled up with zeros, which changes nothing that is seen; parts
    without a warp get the identity rotation where others have one.

    Raises:
        InputError: no parts, or some have `sh` and others `features`.
    """
    if not parts or len({part.sh is None for part in parts}) > 1:
        raise InputError(
            "merge_surfels",
            expected="at least one set of surfels, all with sh or all with features",
            got=f"{len(parts)} sets, {sum(part.sh is not None for part in parts)} of them with sh",
            fix="leave out the sets that do not fit",
        )
    merged = {name: torch.cat([getattr(p, name) for p in parts]) for name in ("centers", "rotations_wxyz")}
    merged |= {name: torch.cat([getattr(p, name) for p in parts]) for name in ("scales", "opacities")}
    colors = [part.sh for part in parts if part.sh is not None]
    if colors:
        most = max(sh.shape[1] for sh in colors)
        merged["sh"] = torch.cat([torch.nn.functional.pad(sh, (0, 0, 0, most - sh.shape[1])) for sh in colors])
    if parts[0].features is not None:
        merged["features"] = torch.cat([part.features for part in parts if part.features is not None])
    if any(part.world_from_canonical_wxyz is not None for part in parts):
        merged["world_from_canonical_wxyz"] = torch.cat([_turns(part) for part in parts])
    return Surfels(**merged)


def _turns(part: Surfels) -> Tensor:
    if part.world_from_canonical_wxyz is not None:
        return part.world_from_canonical_wxyz
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=part.centers.dtype, device=part.centers.device)
    return identity.expand(len(part), 4)
