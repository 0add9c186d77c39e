"""Adam over the named parameters of a model, with rows that can be copied, moved and dropped.

The arithmetic is torch's (fused); here are only the rates and the bookkeeping of rows.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from recon4d.train.config import FitConfig
from recon4d.train.model import MOTION, PER_SURFEL, Model

_MOMENTS = ("exp_avg", "exp_avg_sq")
# Shapes and motion settle towards the end; colours and opacities keep their pace.
_SETTLING = {"centers", "log_scales", "rotations_wxyz", *MOTION}


class Optimizer:
    """Adam for a model's parameters.

    Args:
        model: whose parameters are moved; rows change through `keep_and_append` only.
        config: rates, and how they fall.
    """

    def __init__(self, model: Model, config: FitConfig) -> None:
        self.model = model
        self.config = config
        rates, size = config.rates, model.size
        self.rates = {
            "centers": rates.centers * size,
            "rotations_wxyz": rates.rotations,
            "log_scales": rates.scales,
            "opacity_logits": rates.opacities,
            "sh_base": rates.colors,
            "sh_rest": rates.colors / 10,
            "skinning": rates.skinning,
            "bone_log_radii": rates.bone_radii,
            "bone_rotations": rates.motion_rotations,
            "bone_translations": rates.motion_translations * size,
            "root_rotations": rates.motion_rotations,
            "root_translations": rates.motion_translations * size,
        }
        groups = [{"params": [p], "name": name, "lr": self.rates[name]} for name, p in model.parameters.items()]
        self.adam = torch.optim.Adam(groups, eps=1e-15, fused=True)

    def step(self, done: float) -> None:
        """One step with the rates of a moment; `done` is the share of the fit that is done."""
        factor = self.config.final_rate**done
        for group in self.adam.param_groups:
            waiting = group["name"].startswith("bone_") and done < self.config.bones_from
            group["lr"] = 0.0 if waiting else self.rates[group["name"]] * (factor if group["name"] in _SETTLING else 1)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def keep_and_append(self, keep: Bool[Tensor, " n"], fresh: Bool[Tensor, " n"], added: dict[str, Tensor]) -> None:
        """Exchange rows: those to keep stay (with empty moments where `fresh`), those added follow.

        Args:
            keep: [N] rows that stay.
            fresh: [N] rows whose moments are forgotten.
            added: new rows of every parameter in PER_SURFEL.
        """
        for group in self.adam.param_groups:
            name = group["name"]
            if name not in PER_SURFEL:
                continue
            old = group["params"][0]
            new = torch.cat([old.detach()[keep], added[name]]).contiguous().requires_grad_()
            state = self.adam.state.pop(old, {})
            for moment in _MOMENTS:
                if moment in state:
                    value = state[moment].clone()
                    value[fresh] = 0
                    state[moment] = torch.cat([value[keep], torch.zeros_like(added[name])]).contiguous()
            group["params"] = [new]
            self.model.parameters[name] = new
            if state:
                self.adam.state[new] = state

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state by name, for a checkpoint."""
        found = {}
        for group in self.adam.param_groups:
            for key, value in self.adam.state.get(group["params"][0], {}).items():
                found[f"{group['name']}.{key}"] = value
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state that `tensors` gave."""
        for group in self.adam.param_groups:
            name = group["name"]
            state = {key: tensors[f"{name}.{key}"] for key in ("step", *_MOMENTS) if f"{name}.{key}" in tensors}
            if state:
                self.adam.state[group["params"][0]] = state
