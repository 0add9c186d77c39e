"""Which CUDA stream native code is to work on."""

from __future__ import annotations

import torch
from torch import Tensor


def current_stream(tensor: Tensor) -> int:
    """The handle of torch's current stream on the device of a tensor; 0 on a CPU."""
    return torch.cuda.current_stream(tensor.device).cuda_stream if tensor.is_cuda else 0
