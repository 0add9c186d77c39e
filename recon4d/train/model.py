"""Everything that a fit moves: the parts of the scene and the corrections of the cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import Camera, Surfels
from recon4d.scene import Layer, merge_surfels
from recon4d.train.cameras import Cameras
from recon4d.train.frames import Frame
from recon4d.train.moving_object import MovingObject
from recon4d.train.part import Part


@dataclass(eq=False)
class Model:
    """All parts and cameras.

    Attributes:
        parts: objects first, then the background where there is one.
        cameras: corrections of the cameras.
        canonical_time: seconds.
        of_one_moment: whether the first shape of an object is that of the canonical moment alone.
    """

    parts: list[Part]
    cameras: Cameras
    canonical_time: float
    of_one_moment: bool = False

    def __len__(self) -> int:
        """Number of surfels."""
        return sum(len(part) for part in self.parts)

    @property
    def objects(self) -> list[MovingObject]:
        """The parts that move."""
        return [part for part in self.parts if isinstance(part, MovingObject)]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.parts[0].device

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter by its part's and its own name, those of the cameras under "cameras"."""
        named = {f"{part.name}.{name}": value for part in self.parts for name, value in part.parameters.items()}
        return named | {f"cameras.{name}": value for name, value in self.cameras.parameters.items()}

    def camera(self, frame: Frame) -> Camera:
        """The corrected camera of a frame."""
        return self.cameras.corrected(frame.index, frame.camera)

    def frozen_layers(self) -> list[Layer]:
        """Copies that stay as they are, as layers of a scene."""
        return [Layer(part.name, part.kind, part.frozen_field()) for part in self.parts]


def merged(states: Sequence[Surfels], objects: int) -> Surfels:
    """All parts as one set of surfels.

    With several parts, features [N, objects] say which object a surfel belongs to, so that the coverage of each is
    drawn along with the colours; one part alone needs none.
    """
    if len(states) == 1:
        return states[0]
    everything = merge_surfels(states)
    if not objects:
        return everything
    owner = torch.cat([torch.full((len(one),), i, device=everything.centers.device) for i, one in enumerate(states)])
    return everything.replace(features=(owner[:, None] == torch.arange(objects, device=owner.device)).float())
