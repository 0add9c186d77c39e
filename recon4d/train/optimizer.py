"""Adam over the named parameters of a model, with rows that can be copied, moved and dropped.

The arithmetic is torch's (fused); here are only the rates and the bookkeeping of rows.

Where `FitConfig.only_drawn` asks for it and `fused.adam_step` runs (CUDA), that moves the surfels that the step's image
has drawn, and only them.  Torch's Adam also moves the others: by what is left of their moments, and by the losses that
need no image; and it takes larger steps with what it sees seldom.  Where every surfel is in every image both mean the
same.  Where cameras see parts of a scene they do not, and the rates of the presets are made for torch's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.render import fused
from recon4d.train.cameras import CAMERA_NAMES
from recon4d.train.config import FitConfig
from recon4d.train.model import Model
from recon4d.train.moving_object import MOTION
from recon4d.train.part import REFINED_NAMES, SURFEL_NAMES, Part

_MOMENTS = ("exp_avg", "exp_avg_sq")
# How often each row was moved, where rows count for themselves.
_ROW_STEPS = "row_steps"
# What gradients of the step's image reach, and no other image's: tracks, drawn for themselves, also move the skinning.
_DRAWN = (*SURFEL_NAMES, *REFINED_NAMES)
# Shapes and motion settle towards the end; colours and opacities keep their pace.
_SETTLING = {"centers", "log_scales", "rotations_wxyz", *MOTION, *CAMERA_NAMES, *REFINED_NAMES}
# While motion is learned alone, shapes wait and motion hurries.
_SHAPE = {"centers", "log_scales", "rotations_wxyz", "opacity_logits", "skinning", "bone_log_radii"}
_PATHS = set(MOTION) - _SHAPE
_WARM_UP_PACE = 3.0


class Optimizer:
    """Adam for a model's parameters.

    Args:
        model: whose parameters are moved; rows change through `keep_and_append` and `append_bones` only.
        config: rates, and how they fall.
    """

    def __init__(self, model: Model, config: FitConfig) -> None:
        self.model = model
        self.config = config
        rates = config.rates
        plain = {
            "rotations_wxyz": rates.rotations,
            "log_scales": rates.scales,
            "refined_rotations": rates.rotations,
            "refined_log_scales": rates.scales,
            "opacity_logits": rates.opacities,
            "sh_base": rates.colors,
            "sh_rest": rates.colors / 10,
            "skinning": rates.skinning,
            "bone_log_radii": rates.bone_radii,
            "bone_rotations": rates.motion_rotations,
            "root_rotations": rates.motion_rotations,
            "camera_turns": rates.camera_rotations,
            "log_focal": rates.focal,
        }
        # Lengths go with the size of what they belong to.
        lengths = {
            "centers": rates.centers,
            "bone_translations": rates.motion_translations,
            "root_translations": rates.motion_translations,
            "camera_shifts": rates.camera_translations,
            "residual": rates.residual,
        }
        sizes = {part.name: part.size for part in model.parts} | {"cameras": model.parts[0].size}

        def group(path: str, parameter: Tensor) -> dict[str, object]:
            owner, name = path.split(".")
            rate = plain[name] if name in plain else lengths[name] * sizes[owner]
            return {"params": [parameter], "path": path, "name": name, "rate": rate, "lr": rate}

        self._group = group
        groups = [group(path, parameter) for path, parameter in model.parameters().items()]
        self.adam = torch.optim.Adam(groups, eps=1e-15, fused=True)

    def step(self, done: float, radii: Float[Tensor, " n"]) -> None:
        """One step with the rates of a moment.

        Args:
            done: share of the fit that is done.
            radii: of the surfels of all parts in what was drawn, 0 for those that were not; the largest where the same
                view was drawn more than once.
        """
        factor = self.config.final_rate**done
        for group in self.adam.param_groups:
            name = group["name"]
            warming = self.model.of_one_moment and done < self.config.warm_up
            waiting = (name in _SHAPE and warming) or (name in CAMERA_NAMES and done < self.config.cameras_from)
            waiting |= name == "residual" and done < self.config.residual_from
            pace = _WARM_UP_PACE if warming and name in _PATHS else 1.0
            group["lr"] = 0.0 if waiting else pace * group["rate"] * (factor if name in _SETTLING else 1)
            for parameter in group["params"]:
                # One number that is not finite would spread to everything through the cameras.
                if parameter.grad is not None:
                    parameter.grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        self._step_drawn(radii)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def keep_and_append(
        self, part: Part, keep: Bool[Tensor, " n"], fresh: Bool[Tensor, " n"], added: dict[str, Tensor]
    ) -> None:
        """Exchange rows of a part: those to keep stay (with empty moments where `fresh`), those added follow.

        Args:
            part: whose surfels change.
            keep: [N] rows that stay.
            fresh: [N] rows whose moments are forgotten.
            added: new rows of every parameter in `part.row_names`.
        """
        for name in part.row_names:
            old = part.parameters[name]
            new = torch.cat([old.detach()[keep], added[name]])

            def moments(value: Tensor, extra: Tensor = added[name]) -> Tensor:
                return _kept(value, keep, fresh, extra)

            def counts(value: Tensor, extra: int = len(added[name])) -> Tensor:
                # As long as any, like torch's one count of all rows: halves of a split take its large steps, too.
                return torch.cat([value[keep], value.amax().expand(extra)])

            self._exchange(part, name, new, moments, counts)

    def append_parameters(self, part: Part, added: dict[str, Tensor]) -> None:
        """Move further parameters of a part from now on."""
        for name, parameter in added.items():
            self.adam.add_param_group(self._group(f"{part.name}.{name}", parameter))

    def append_rows(self, part: Part, name: str, added: Tensor) -> None:
        """Append rows to one parameter, with empty moments."""
        new = torch.cat([part.parameters[name].detach(), added])
        # Rows of bones, which count no steps of their own.
        self._exchange(part, name, new, lambda value: torch.cat([value, torch.zeros_like(added)]), lambda value: value)

    def forget(self, part: Part, name: str, entries: Bool[Tensor, "*shape"]) -> None:
        """Empty the moments of some entries of a parameter."""
        state = self.adam.state.get(part.parameters[name], {})
        for moment in _MOMENTS:
            if moment in state:
                state[moment][entries] = 0

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state by parameter, for a checkpoint."""
        found = {}
        for group in self.adam.param_groups:
            for key, value in self.adam.state.get(group["params"][0], {}).items():
                found[f"{group['path']}.{key}"] = value
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state that `tensors` gave."""
        for group in self.adam.param_groups:
            path = group["path"]
            parameter = group["params"][0]
            # The count of steps too: torch's kernel reads it where the parameter is.
            state = {
                key: tensors[f"{path}.{key}"].to(parameter.device)
                for key in ("step", *_MOMENTS, _ROW_STEPS)
                if f"{path}.{key}" in tensors
            }
            if state:
                self.adam.state[parameter] = state

    def _step_drawn(self, radii: Tensor) -> None:
        """Move rows of surfels by the kernel where it runs, and leave nothing of them for torch."""
        if not self.config.only_drawn or not fused.available("adam_step", radii.device, radii.dtype):
            return
        parts = self.model.parts
        seen = dict(zip([part.name for part in parts], radii.split([len(part) for part in parts]), strict=True))
        for group in self.adam.param_groups:
            (parameter,) = group["params"]
            if group["name"] not in _DRAWN or parameter.grad is None:
                continue
            state = self.adam.state[parameter]
            if not state:
                state |= {moment: torch.zeros_like(parameter, requires_grad=False) for moment in _MOMENTS}
                state[_ROW_STEPS] = torch.zeros(len(parameter), dtype=torch.int32, device=parameter.device)
            first, second = (state[moment] for moment in _MOMENTS)
            fused.adam_step(
                parameter,
                parameter.grad.contiguous(),
                first,
                second,
                state[_ROW_STEPS],
                seen[group["path"].split(".")[0]].contiguous(),
                learning_rate=group["lr"],
                betas=group["betas"],
                epsilon=group["eps"],
            )
            parameter.grad = None

    def _exchange(
        self,
        part: Part,
        name: str,
        new: Tensor,
        moments: Callable[[Tensor], Tensor],
        counts: Callable[[Tensor], Tensor],
    ) -> None:
        old = part.parameters[name]
        group = next(g for g in self.adam.param_groups if g["params"][0] is old)
        leaf = new.contiguous().requires_grad_()
        state = self.adam.state.pop(old, {})
        for moment in _MOMENTS:
            if moment in state:
                state[moment] = moments(state[moment]).contiguous()
        if _ROW_STEPS in state:
            state[_ROW_STEPS] = counts(state[_ROW_STEPS])
        group["params"] = [leaf]
        part.parameters[name] = leaf
        if state:
            self.adam.state[leaf] = state


def _kept(value: Tensor, keep: Tensor, fresh: Tensor, added: Tensor) -> Tensor:
    value = value.clone()
    value[fresh] = 0
    return torch.cat([value[keep], torch.zeros_like(added)])
