"""Which backend draws, and what is said when the one asked for cannot."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec

import pytest
import torch

from recon4d import BackendError, InputError, _native, rasterize
from recon4d.render import SlowBackendWarning, available_backends, backends, constants
from tests.render.helpers import Backend, camera, random_surfels

CPU = torch.device("cpu")


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch):
    """As on a machine where nothing could be compiled."""
    monkeypatch.setattr(_native, "available", False)
    monkeypatch.setattr(_native, "reason", "_ext was not built: no compiler")
    monkeypatch.setattr(_native, "cuda_built", False)
    monkeypatch.setattr(_native, "cuda_reason", "_ext_cuda was not built: no nvcc")
    backends._warn_slow.cache_clear()
    yield
    backends._warn_slow.cache_clear()


def test_every_backend_is_listed_with_a_reason():
    listed = available_backends()
    assert tuple(listed) == backends.BACKENDS == ("reference", "cpu", "cuda", "gsplat")
    assert listed["reference"][0]
    assert listed["cpu"][0] == _native.available
    assert listed["cuda"][0] == (_native.cuda_built and torch.cuda.is_available())
    assert listed["gsplat"][0] == (find_spec("gsplat") is not None and torch.cuda.is_available())
    assert all(detail and "\n" not in detail for _, detail in listed.values())


def test_auto_takes_the_compiled_one(compiled: Backend):
    assert backends.load_backend("auto", compiled.device).__name__ == f"recon4d.render.{compiled.name}"
    surfels, view = random_surfels(20).to(compiled.device), camera().to(compiled.device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto, named = rasterize(surfels, view), rasterize(surfels, view, backend=compiled.name)
    assert torch.equal(auto.color, named.color)


def test_auto_draws_without_anything_compiled_and_says_so_once(without_native: None):
    surfels, view = random_surfels(5), camera()
    with pytest.warns(SlowBackendWarning) as caught:
        first = rasterize(surfels, view)
    (warning,) = caught
    assert str(warning.message) == (
        "rasterizing with the pure-torch reference backend, hundreds of times slower than 'cpu', "
        "because _ext was not built: no compiler"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = rasterize(surfels, view)
        named = rasterize(surfels, view, backend="reference")
    assert torch.equal(first.color, again.color)
    assert torch.equal(first.color, named.color)


def test_asking_for_what_is_not_there(without_native: None):
    with pytest.raises(BackendError) as caught:
        rasterize(random_surfels(5), camera(), backend="cpu")
    assert str(caught.value) == (
        "backend 'cpu': expected an installed backend, got _ext was not built: no compiler. Fix: use \"auto\""
    )
    with pytest.raises(BackendError, match=r"backend 'cuda': .* no nvcc"):
        rasterize(random_surfels(5), camera(), backend="cuda")


def test_asking_for_a_backend_of_another_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_native, "cuda_built", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match="torch sees no CUDA device"):
        backends.load_backend("cuda", CPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    assert available_backends()["cuda"] == (True, "compiled, on a device")
    with pytest.raises(BackendError, match=r"expected tensors on cuda, got cpu. Fix: move them with .to\('cuda'\)"):
        backends.load_backend("cuda", CPU)


def test_a_cuda_build_without_a_cuda_device_draws_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_native, "cuda_built", True)
    monkeypatch.setattr(_native, "available", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert backends._fastest(CPU) == "cpu"


def test_the_reference_draws_tensors_of_devices_that_no_kernel_knows():
    assert backends._fastest(torch.device("mps")) == "reference"


def test_a_backend_of_no_name():
    with pytest.raises(InputError, match="expected one of auto, reference, cpu, cuda, gsplat, got 'gpu'"):
        backends.load_backend("gpu", CPU)


def test_every_backend_module_offers_the_protocol(backend: Backend):
    assert isinstance(backends.load_backend(backend.name, backend.device), backends.Backend)


def test_importing_recon4d_loads_no_backend():
    code = (
        "import recon4d, sys\n"
        "loaded = [m for m in ('reference', 'cpu', 'cuda') if f'recon4d.render.{m}' in sys.modules]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


NATIVE_CONSTANTS = (
    "MIN_SCALE_PIXELS",
    "EDGE_ON_COSINE",
    "EDGE_ON_INVERSE_SIGMA",
    "LOW_PASS_INVERSE_VARIANCE",
    "LOW_PASS_DEPTH_RATIO",
    "MEDIAN_TRANSMITTANCE",
    "MIN_QUATERNION_NORM",
)


def test_compiled_code_has_the_same_constants(compiled: Backend):
    from importlib import import_module

    module = import_module("recon4d._native._ext" if compiled.name == "cpu" else "recon4d._native._ext_cuda")
    for name in NATIVE_CONSTANTS:
        assert getattr(module, name) == getattr(constants, name), name


def test_no_constant_is_forgotten():
    named = {name for name in vars(constants) if name.isupper()}
    defaults_of_arguments = {"NEAR", "ALPHA_MIN", "ALPHA_MAX", "MIN_TRANSMITTANCE"}
    assert named == defaults_of_arguments | set(NATIVE_CONSTANTS)
