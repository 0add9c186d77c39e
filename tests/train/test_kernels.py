"""Fused kernels and what they stand for: whole steps of a fit agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon4d.render import fused
from recon4d.train import Capture, FitConfig
from recon4d.train.fit import start
from recon4d.train.frames import load_frames
from recon4d.train.objective import Objective
from recon4d.train.step import train_step

CPU = torch.device("cpu")


def gradients(capture: Capture, config: FitConfig) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of a first step, and what it asks of every parameter."""
    frames = load_frames(capture, [2])
    state = start(capture, frames, config)
    generator = torch.Generator().manual_seed(0)
    for parameter in state.model.parameters().values():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    found: dict[str, torch.Tensor] = {}

    def keep(done: float, radii: torch.Tensor) -> None:
        found.update({name: p.grad.clone() for name, p in state.model.parameters().items() if p.grad is not None})

    state.optimizer.step = keep  # type: ignore[method-assign]
    train_step(state, capture, frames, Objective(config), config)
    assert state.mean_loss is not None
    return state.mean_loss, found


@pytest.mark.skipif(not fused.available("skin", CPU, torch.float32), reason="the native module is not built")
@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
def test_a_step_with_fused_kernels_is_one_without(
    two: Capture, quick: FitConfig, blend: str, monkeypatch: pytest.MonkeyPatch
):
    config = replace(quick, blend=blend, surface_from=0.0, density_from=1.0)  # type: ignore[arg-type]
    uncertain = replace(two, refine_cameras=True)
    loss, wanted = gradients(uncertain, config)
    monkeypatch.setattr(fused, "available", lambda step, device, dtype: False)
    slow_loss, slow = gradients(uncertain, config)
    assert slow_loss == pytest.approx(loss, rel=1e-4)
    assert slow.keys() == wanted.keys()
    for name, gradient in wanted.items():
        # A part of the whole gradient: some elements are sums that cancel.
        torch.testing.assert_close(slow[name], gradient, atol=2e-3 * float(gradient.abs().max()) + 1e-9, rtol=2e-3)
