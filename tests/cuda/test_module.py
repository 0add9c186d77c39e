"""The real CUDA module, where it was built: it loads without a GPU, and its stub is in step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recon4d import _native
from recon4d.render import constants

pytestmark = pytest.mark.skipif(not _native.cuda_built, reason=_native.cuda_reason or "built")


def test_it_loads_and_counts_devices():
    from recon4d._native import _ext_cuda

    assert _ext_cuda.device_count() >= 0


def test_its_constants_are_ours():
    from recon4d._native import _ext_cuda

    shared = [name for name in vars(constants) if name.isupper() and hasattr(_ext_cuda, name)]
    assert len(shared) == 7
    assert all(getattr(_ext_cuda, name) == getattr(constants, name) for name in shared)


def test_the_stub_is_in_step_with_the_module(tmp_path: Path, repository: Path):
    generated = tmp_path / "_ext_cuda.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-m", "recon4d._native._ext_cuda", "-o", str(generated)]
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=repository)
    committed = (repository / "recon4d/_native/_ext_cuda.pyi").read_text()
    assert committed == generated.read_text(), "run `make stubs` and commit the result"
