"""Where surfels are: those that do nothing go, and new ones come where the image asks for them.

Between calls the screen-space gradient of every surfel is summed up (3D Gaussian Splatting's sign that one surfel does
the work of several).  A relocation drops surfels that have faded, and splits those drawn with a probability that goes
with the gradient, up to a budget (the fixed budget is that of 3DGS-MCMC, Kheradmand et al. 2024, without its noise).
The larger half keeps its id; the new one gets an id that was never used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.train.model import PER_SURFEL, Model
from recon4d.train.optimizer import Optimizer

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
    def empty(count: int) -> Density:
        """Nothing met yet."""
        return Density(torch.zeros(count), torch.zeros(count))

    def add(self, screen_gradient: Float[Tensor, "n 2"], radii: Float[Tensor, " n"], size: int) -> None:
        """Count one image.

        Args:
            screen_gradient: gradient of the loss with respect to the surfels' places, per pixel.
            radii: 0 where a surfel was not drawn.
            size: of the image in pixels; makes gradients of different sizes comparable.
        """
        self.gradient += screen_gradient.norm(dim=-1) * size
        self.seen += radii > 0


def relocate(
    model: Model,
    optimizer: Optimizer,
    density: Density,
    *,
    budget: int,
    growth: float,
    dead_opacity: float,
    generator: torch.Generator,
) -> Density:
    """Drop faded surfels, split busy ones; returns the emptied sums.

    Args:
        model, optimizer: changed in step.
        density: since the last relocation.
        budget: most surfels afterwards.
        growth: most growth of the number of living surfels, as a factor.
        dead_opacity: surfels below are dropped.
        generator: of the draw.
    """
    with torch.no_grad():
        opacities = model.parameters["opacity_logits"].sigmoid()
        alive = opacities >= dead_opacity
        if not bool(alive.any()):
            return Density.empty(len(model))
        living = int(alive.sum())
        wanted = min(budget, max(len(model), int(living * growth))) - living
        interest = torch.where(alive, density.gradient / density.seen.clamp_min(1), 0.0)
        wanted = min(wanted, int((interest > 0).sum()), living)
        added = {name: model.parameters[name].detach()[:0] for name in PER_SURFEL}
        parents = torch.zeros(0, dtype=torch.int64)
        if wanted > 0:
            parents = torch.multinomial(interest, wanted, generator=generator).sort().values
            added = _split(model, parents)
        fresh = torch.zeros(len(model), dtype=torch.bool)
        fresh[parents] = True
    new_ids = torch.arange(model.next_id, model.next_id + len(parents))
    model.slots = torch.cat([model.slots[alive], model.slots[parents]])
    model.ids = torch.cat([model.ids[alive], new_ids])
    model.next_id += len(parents)
    optimizer.keep_and_append(alive, fresh, added)
    return Density.empty(len(model))


def _split(model: Model, parents: Tensor) -> dict[str, Tensor]:
    """Shrinks the parents to one half each, in place, and returns the other halves."""
    p = {name: model.parameters[name].detach() for name in PER_SURFEL}
    scales = p["log_scales"][parents].exp()
    longer = scales.argmax(-1, keepdim=True)
    along = torch.zeros(len(parents), 3).scatter_(1, longer, scales.gather(1, longer) * _APART)
    offset = quaternion.rotate(p["rotations_wxyz"][parents], along)
    shrunk = (
        p["log_scales"][parents] + torch.zeros(len(parents), 2).scatter_(1, longer, 1.0) * torch.tensor(_SHRINK).log()
    )
    # Two of these cover, where they overlap, what one did before.
    opacity = 1 - (1 - p["opacity_logits"][parents].sigmoid().clamp(max=0.999)).sqrt()
    added = {name: p[name][parents].clone() for name in PER_SURFEL}
    added["centers"] -= offset
    added["log_scales"] = shrunk
    added["opacity_logits"] = opacity.logit()
    p["centers"][parents] += offset
    p["log_scales"][parents] = shrunk
    p["opacity_logits"][parents] = added["opacity_logits"]
    return added
