"""Rows of masks: as torch finds them."""

from __future__ import annotations

import pytest
import torch

from recon4d.editors.rows import rows_of


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_rows_are_where_the_mask_holds(share: float) -> None:
    mask = torch.rand(500, generator=torch.Generator().manual_seed(2)) < share
    for some in (mask, mask[::3], ~mask):
        found = rows_of(some)
        assert found.dtype == torch.int64
        assert torch.equal(found, torch.nonzero(some)[:, 0])
