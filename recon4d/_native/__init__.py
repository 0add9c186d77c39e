"""The compiled kernels, if this installation has them.

`recon4d._native._ext` is the CPU module and `recon4d._native._ext_cuda` the CUDA module.  Where one was not built or
cannot be loaded, `available` / `cuda_built` is False and `reason` / `cuda_reason` says why in one line.  Importing
this package never raises, so that a machine without a C++ compiler keeps the reference backend.  Chooses no backend
and computes nothing: that is the work of `recon4d.render`, the only room that may import this one.
"""

from __future__ import annotations

from recon4d._native.load import why_not_loadable

reason: str = why_not_loadable("recon4d._native._ext", needs="a C++ compiler and Python's headers")
available: bool = not reason

cuda_reason: str = why_not_loadable("recon4d._native._ext_cuda", needs="nvcc")
cuda_built: bool = not cuda_reason
