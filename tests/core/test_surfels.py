"""The surfel record: what it holds, how it is counted, copied and converted."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recon4d.core import Surfels


def make(*batch: int, count: int = 5) -> Surfels:
    return Surfels(
        centers=torch.zeros(*batch, count, 3),
        rotations_wxyz=torch.ones(count, 4),
        scales=torch.ones(count, 2),
        opacities=torch.full((count,), 0.5),
        sh=torch.zeros(count, 9, 3),
    )


def test_counts_surfels_not_states():
    assert len(make()) == 5
    assert len(make(7)) == 5
    assert len(make(count=0)) == 0


def test_tensors_lists_what_is_present():
    surfels = make()
    names = ["centers", "rotations_wxyz", "scales", "opacities", "sh"]
    assert list(surfels.tensors()) == names
    assert all(surfels.tensors()[name] is getattr(surfels, name) for name in names)


def test_replace_exchanges_only_what_is_named():
    surfels = make()
    changed = surfels.replace(sh=None, features=torch.ones(5, 2))
    assert surfels.sh is not None
    assert surfels.features is None
    assert list(changed.tensors()) == ["centers", "rotations_wxyz", "scales", "opacities", "features"]
    assert changed.centers is surfels.centers


def test_to_converts_every_array():
    converted = make(2).to(torch.float64)
    assert {t.dtype for t in converted.tensors().values()} == {torch.float64}
    assert converted.centers.shape == (2, 5, 3)
    assert converted.features is None


def test_arrays_cannot_be_swapped_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().centers = torch.zeros(5, 3)  # type: ignore[misc]
