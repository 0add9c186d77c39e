"""What tracks say about motion: pairs of frames, and where points of the one are seen in the other.

The predicted motion of a pixel is blended from that of the surfels it sees, rendered small, with shapes as constants:
tracks tell the bones how to move, not where the surface is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d import losses
from recon4d.core import Camera, Surfels
from recon4d.data.motion import Tracks
from recon4d.render import rasterize
from recon4d.render.constants import NEAR

_LEAST_POINTS = 12
_MOST_POINTS = 800
_COVERED = 0.5


@dataclass(frozen=True, eq=False)
class Pair:
    """Points seen in two frames.

    Attributes:
        there: capture index of the other frame.
        here_pixels, there_pixels: [P, 2] pixels of the full-size images.
    """

    there: int
    here_pixels: Float[Tensor, "p 2"]
    there_pixels: Float[Tensor, "p 2"]


def draw_pair(
    tracks: Tracks, here: int, indices: list[int], gaps: tuple[int, ...], chance: np.random.Generator
) -> Pair | None:
    """Another fitted frame that shares points with a frame, about one of the gaps away; None where there is none.

    Args:
        tracks: points through all frames of the capture.
        here: capture index.
        indices: capture indices that are fitted.
        gaps: in fitted frames; one is drawn, and which way.
        chance: of the draws.
    """
    place = indices.index(here)
    gap = int(chance.choice(gaps)) * (1 if chance.random() < 0.5 else -1)
    for step in (gap, -gap, gap // 2, -(gap // 2)):
        other = place + step
        if step and 0 <= other < len(indices):
            seen, wanted, _ = tracks.common(here, indices[other])
            if len(seen) >= _LEAST_POINTS:
                rows = chance.permutation(len(seen))[:_MOST_POINTS]
                return Pair(indices[other], torch.from_numpy(seen[rows]), torch.from_numpy(wanted[rows]))
    return None


def motion_error(
    pair: Pair,
    surfels: Surfels,
    places: Float[Tensor, "2 n 3"],
    here: Camera,
    there: Camera,
    full: Camera,
    *,
    delta: float,
) -> Float[Tensor, ""]:
    """Huber distance between predicted and tracked places, in percent of the image's long side.

    Args:
        pair: points, pixels of the full size.
        surfels: of this moment, constants.
        places: centres at both moments.
        here, there: cameras of both frames at the size that is rendered.
        full: the camera of this frame at full size.
        delta: of the Huber function, percent of the long side.
    """
    from_here, ahead_here = _pixels(here, places[0])
    from_there, ahead_there = _pixels(there, places[1])
    shift = torch.where((ahead_here & ahead_there)[:, None], from_there - from_here, 0.0)
    # What matters are places: their blend is a constant shape's, so weights carry no gradient.
    drawn = rasterize(
        surfels.replace(sh=None, features=shift.contiguous()),
        Camera(here.K.detach(), here.cam_from_world.detach(), here.width, here.height),
    )
    scale = shift.new_tensor([here.width / full.width, here.height / full.height])
    pixels = pair.here_pixels.to(shift.device) * scale
    # grid_sample's coordinates: -1 and 1 are the image's edges.
    grid = torch.stack([2 * pixels[:, 0] / here.width - 1, 2 * pixels[:, 1] / here.height - 1], -1)
    planes = torch.cat([drawn.color, drawn.alpha.detach()], -1).permute(2, 0, 1)[None]
    sampled = torch.nn.functional.grid_sample(planes, grid[None, None], align_corners=False)[0, :, 0].T
    # Divided after sampling, or pixels beside the silhouette would count as standing still.
    flow = sampled[:, :2] / sampled[:, 2:].clamp_min(1e-3)
    percent = 100 / max(here.width, here.height)
    visible = sampled[:, 2] > _COVERED
    wanted = pair.there_pixels.to(flow.device) * scale - pixels
    return losses.track_error(flow * percent, wanted * percent, visible, delta=delta)


def _pixels(camera: Camera, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
    """Where points are seen, and which are ahead; finite, with finite gradients, for all of them."""
    in_cam = points @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]
    ahead = in_cam[:, 2] > NEAR
    depth = torch.where(ahead, in_cam[:, 2], 1.0)
    focal = torch.stack([camera.K[0, 0], camera.K[1, 1]])
    return in_cam[:, :2] / depth[:, None] * focal + camera.K[:2, 2], ahead
