"""Rows of tensors and masks, picked quickly."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor


def rows_of(mask: Bool[Tensor, " n"]) -> Int64[Tensor, " m"]:
    """[M] where a mask holds: as `torch.nonzero`, on a CPU in a third to a ninth of its time.

    Picking by these rows with `index_select` is several times as quick as indexing by the mask.
    """
    if mask.device.type != "cpu":
        return torch.nonzero(mask)[:, 0]
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def take(
    tensor: Shaped[Tensor, "n *rest"], rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]
) -> Shaped[Tensor, "m *rest"]:
    """Rows by index, in that order, each >= 0; or by mask.  Differentiable.

    The same as `tensor[rows]`, at a third of its time on a CPU: indexing looks up every number by itself.
    """
    picked = rows_of(rows) if rows.dtype == torch.bool else rows
    return tensor.index_select(0, picked.to(tensor.device))
