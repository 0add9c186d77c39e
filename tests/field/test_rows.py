"""Picking rows: as indexing does."""

from __future__ import annotations

import pytest
import torch

from recon4d.field.rows import rows_of, take


@pytest.mark.parametrize("shape", [(7,), (7, 4), (7, 1, 3), (7, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_rows_are_those_of_indexing(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
    mask = torch.tensor([True, False, True, True, False, False, True])
    for rows in (torch.tensor([5, 0, 0, 6]), torch.tensor([], dtype=torch.int64), mask, ~mask & mask):
        assert torch.equal(take(tensor, rows), tensor[rows])
        assert torch.equal(take(tensor.expand(2, *shape)[1], rows), tensor[rows])


def test_gradients_reach_the_rows() -> None:
    tensor = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    take(tensor, torch.tensor([1, 1, 3])).sum().backward()
    assert tensor.grad is not None
    assert tensor.grad[:, 0].tolist() == [0, 2, 0, 1]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_rows_are_where_the_mask_holds(share: float) -> None:
    mask = torch.rand(500, generator=torch.Generator().manual_seed(2)) < share
    for some in (mask, mask[::3], ~mask):
        found = rows_of(some)
        assert found.dtype == torch.int64
        assert torch.equal(found, torch.nonzero(some)[:, 0])
