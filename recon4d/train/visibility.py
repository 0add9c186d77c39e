"""Which surfels are seen at all: how much each gives to the images.

The blending weights of a surfel, summed over an image, are the gradient of that image's sum with respect to a feature
of the surfel.  A surfel that no image sees gets no gradient either, so nothing but this would ever remove it.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import rigid
from recon4d.render import rasterize
from recon4d.scene import merge_surfels
from recon4d.train.frames import Frame
from recon4d.train.model import Model


def contributions(model: Model, level: tuple[Frame, ...], views: int) -> list[Float[Tensor, " n"]]:
    """Largest sum of blending weights of each surfel of each part in any of some views, in pixels.

    Args:
        model: as it is.
        level: images of one size.
        views: so many, spread evenly over the images.
    """
    most = torch.zeros(len(model), device=model.device)
    for index in sorted({int(i) for i in np.linspace(0, len(level) - 1, views)}):
        frame = level[index]
        with torch.no_grad():
            camera = model.camera(frame)
            inverse = rigid.invert(camera.cam_from_world)
            surfels = merge_surfels([part.at(frame.time, inverse).surfels for part in model.parts])
        ones = torch.ones(len(model), 1, device=model.device, requires_grad=True)
        rasterize(surfels.replace(sh=None, features=ones), camera).color.sum().backward()
        assert ones.grad is not None
        most = torch.maximum(most, ones.grad[:, 0])
    return list(most.split([len(part) for part in model.parts]))
