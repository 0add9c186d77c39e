"""Where surfels are: those that do nothing go, and new ones come where the image asks for them.

Between calls the screen-space gradient of every surfel is summed up (3D Gaussian Splatting's sign that one surfel does
the work of several).  A relocation drops surfels that have faded, and splits those drawn with a probability that goes
with the gradient, up to a budget (the fixed budget is that of 3DGS-MCMC, Kheradmand et al. 2024, without its noise).
The larger half keeps its id; the new one gets an id that was never used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.train.optimizer import Optimizer
from recon4d.train.part import Part

_APART = 0.6  # standard deviations between a split surfel's middle and each half's
_SHRINK = 0.65  # the halves' size along the axis of the split


@dataclass(eq=False)
class Density:
    """Sums of what each surfel has met since the last relocation.

    Attributes:
        gradient: [N] lengths of the screen-space gradients.
        seen: [N] in how many images it was drawn.
    """

    gradient: Float[Tensor, " n"]
    seen: Float[Tensor, " n"]

    @staticmethod
    def empty(count: int, device: torch.device | None = None) -> Density:
        """Nothing met yet."""
        return Density(torch.zeros(count, device=device), torch.zeros(count, device=device))

    def add(self, screen_gradient: Float[Tensor, "n 2"], radii: Float[Tensor, " n"], size: int) -> None:
        """Count one image.

        Args:
            screen_gradient: gradient of the loss with respect to the surfels' places, per pixel.
            radii: 0 where a surfel was not drawn.
            size: of the image in pixels; makes gradients of different sizes comparable.
        """
        # Column by column: torch's norm over so short an axis takes three times as long.
        x, y = screen_gradient.unbind(-1)
        self.gradient += (x * x + y * y).sqrt() * size
        self.seen += radii > 0


def relocate(
    part: Part,
    optimizer: Optimizer,
    density: Density,
    *,
    budget: int,
    growth: float,
    dead_opacity: float,
    generator: torch.Generator,
    unseen: Bool[Tensor, " n"] | None = None,
) -> Density:
    """Drop faded and unseen surfels, split busy ones; returns the emptied sums.

    Args:
        part, optimizer: changed in step.
        density: since the last relocation.
        budget: most surfels afterwards.
        growth: most growth of the number of living surfels, as a factor.
        dead_opacity: surfels below are dropped.
        generator: of the draw.
        unseen: [N] surfels that no image needs.
    """
    with torch.no_grad():
        opacities = part.parameters["opacity_logits"].sigmoid()
        alive = opacities >= dead_opacity
        if unseen is not None:
            alive &= ~unseen
        if not bool(alive.any()):
            return Density.empty(len(part), part.device)
        living = int(alive.sum())
        wanted = min(budget, int(living * growth)) - living
        interest = torch.where(alive, density.gradient / density.seen.clamp_min(1), 0.0)
        wanted = min(wanted, int((interest > 0).sum()), living)
        added = {name: part.parameters[name].detach()[:0] for name in part.row_names}
        parents = torch.zeros(0, dtype=torch.int64, device=part.device)
        if wanted > 0:
            # Drawn on the CPU, whose generator is the same everywhere.
            parents = torch.multinomial(interest.cpu(), wanted, generator=generator).sort().values.to(part.device)
            added = _split(part, parents)
        fresh = torch.zeros(len(part), dtype=torch.bool, device=part.device)
        fresh[parents] = True
    new_ids = torch.arange(part.next_id, part.next_id + len(parents))
    part.rows_added(parents, alive)
    part.ids = torch.cat([part.ids[alive.cpu()], new_ids])
    part.next_id += len(parents)
    optimizer.keep_and_append(part, alive, fresh, added)
    return Density.empty(len(part), part.device)


def _split(part: Part, parents: Tensor) -> dict[str, Tensor]:
    """Shrinks the parents to one half each, in place, and returns the other halves."""
    p = {name: part.parameters[name].detach() for name in part.row_names}
    scales = p["log_scales"][parents].exp()
    longer = scales.argmax(-1, keepdim=True)
    along = scales.new_zeros(len(parents), 3).scatter_(1, longer, scales.gather(1, longer) * _APART)
    offset = quaternion.rotate(p["rotations_wxyz"][parents], along)
    shrunk = p["log_scales"][parents] + scales.new_zeros(len(parents), 2).scatter_(1, longer, 1.0) * math.log(_SHRINK)
    # Two of these cover, where they overlap, what one did before.
    opacity = 1 - (1 - p["opacity_logits"][parents].sigmoid().clamp(max=0.999)).sqrt()
    added = {name: p[name][parents].clone() for name in part.row_names}
    added["centers"] -= offset
    added["log_scales"] = shrunk
    added["opacity_logits"] = opacity.logit()
    p["centers"][parents] += offset
    p["log_scales"][parents] = shrunk
    p["opacity_logits"][parents] = added["opacity_logits"]
    return added
