"""Flow and track losses: Huber values, unknown pixels, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.losses import flow_error, track_error


def test_flow_by_hand():
    target = torch.zeros(1, 3, 2)
    target[0, 2] = torch.nan
    flow = torch.tensor([[[0.3, 0.4], [3.0, 4.0], [9.0, 9.0]]])
    # Lengths 0.5 (quadratic: 0.125) and 5 (linear: 4.5); the third is unknown.
    assert flow_error(flow, target).item() == pytest.approx((0.125 + 4.5) / 2)
    weight = torch.tensor([[[3.0], [1.0], [1.0]]])
    assert flow_error(flow, target, weight).item() == pytest.approx((3 * 0.125 + 4.5) / 4)
    assert flow_error(flow, target, delta=10.0).item() == pytest.approx((0.125 + 12.5) / 2)


def test_nothing_known_is_zero():
    flow = torch.ones(2, 2, 2, requires_grad=True)
    loss = flow_error(flow, torch.full((2, 2, 2), torch.nan))
    loss.backward()
    assert loss.item() == 0.0
    assert flow.grad is not None
    assert torch.equal(flow.grad, torch.zeros(2, 2, 2))
    points = torch.ones(4, 2, requires_grad=True)
    assert track_error(points, torch.zeros(4, 2), torch.zeros(4, dtype=torch.bool)).item() == 0.0


def test_half_known_vectors_are_unknown():
    target = torch.tensor([[[torch.nan, 0.0], [0.0, torch.inf], [0.0, 0.0]]])
    flow = torch.tensor([[[5.0, 5.0], [5.0, 5.0], [0.0, 1.0]]], requires_grad=True)
    loss = flow_error(flow, target)
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert flow.grad is not None
    assert flow.grad.tolist() == [[[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]]


def test_tracks_by_hand():
    points = torch.tensor([[1.0, 0.0], [0.0, 10.0], [7.0, 7.0]])
    target = torch.tensor([[0.0, 0.0], [0.0, 0.0], [torch.nan, torch.nan]])
    visible = torch.tensor([True, True, False])
    assert track_error(points, target, visible).item() == pytest.approx((0.5 + 2 * (10 - 1)) / 2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20), far=st.floats(0.01, 20))
def test_perfect_is_zero_and_worse_is_more(seed: int, far: float):
    target = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    visible = torch.ones(3, 5, dtype=torch.bool)
    assert flow_error(target, target).item() == 0.0
    assert track_error(target, target, visible).item() == 0.0
    assert flow_error(target + far, target).item() < flow_error(target + 2 * far, target).item()
    assert track_error(target + far, target, visible).item() < track_error(target - 2 * far, target, visible).item()


def test_gradients():
    generator = torch.Generator().manual_seed(2)
    flow = (3 * torch.randn(4, 5, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    target = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64)
    target[1, 2] = torch.nan
    weight = torch.rand(4, 5, 1, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: flow_error(x, target, weight), (flow,))
    visible = torch.rand(4, 5, generator=generator) > 0.4
    visible[1, 2] = False
    assert torch.autograd.gradcheck(lambda x: track_error(x, target, visible), (flow,))
