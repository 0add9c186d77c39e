"""Depth inside a selection, and distance from a stroke, against all pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.editors import View
from recon4d.editors.selections.borders import depth_inside
from recon4d.editors.selections.screen import stroke_distance
from tests.editors.scenes import CAMERAS


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1e-4, 0.02, 0.1, 0.5, 30.0]), st.sampled_from(["half", "some", "one"]))
def test_depth_is_the_distance_to_the_nearest_outside(seed: int, limit: float, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Some of them doubled, on a plane, or far away from all others.
    points = torch.rand(300, 3, generator=generator)
    points[:40] = points[40:80]
    points[80:140, 2] = 0.25
    points[-1] = 100.0
    mask = {
        "half": points[:, 0] > 0.5,
        "some": torch.rand(300, generator=generator) < 0.2,
        "one": torch.arange(300) == seed % 300,
    }[kind]
    ways = (points.double()[:, None] - points.double()[None, ~mask]).square().sum(-1).sqrt().amin(1)
    expected = torch.where(mask, ways.clamp_max(limit), 0.0)
    torch.testing.assert_close(depth_inside(points, mask, limit), expected, rtol=1e-13, atol=0)


def test_everything_is_as_deep_as_can_be() -> None:
    depth = depth_inside(torch.rand(9, 3), torch.ones(9, dtype=torch.bool), 0.3)
    assert depth.tolist() == [0.3] * 9


@pytest.mark.parametrize("reach", [0.5, 6.0, 1e6])
def test_a_stroke_knows_its_distance_up_to_its_reach(reach: float) -> None:
    view = View.of(CAMERAS[0], 0.5)
    points = ((-20.0, 10.0), (30.5, 20.5), (30.5, 20.5), (90.0, 300.0), (500.0, 40.0))
    x, y = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    steps = np.linspace(0, 1, 20_001)[:, None]
    line = np.concatenate([a + steps * (np.subtract(b, a)) for a, b in pairwise(points)])
    pixels = torch.from_numpy(np.stack([x.ravel(), y.ravel()], -1))
    expected = torch.cdist(pixels, torch.from_numpy(line[::4])).amin(1).numpy().reshape(x.shape)
    found = stroke_distance(view, points, reach)
    near = expected <= reach
    assert near.any()
    np.testing.assert_allclose(found[near], expected[near], atol=0.05)
    assert (found[~near] > reach - 0.05).all()
