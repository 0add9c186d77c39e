"""One fixture: every test that takes `backend` runs on every rasterizer there is."""

from __future__ import annotations

import os

import pytest

from recon4d.render import available_backends
from tests.render.helpers import Backend


def backend_or_skip(name: str) -> Backend:
    """A backend; skips where the machine has none, but in CI, which promises a C++ compiler, cpu must be there."""
    usable, detail = available_backends()[name]
    if not usable and name == "cpu" and os.environ.get("CI") == "true":
        pytest.fail(detail)
    if not usable:
        pytest.skip(detail)
    return Backend(name)


@pytest.fixture(params=["reference", "cpu", "cuda"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    return backend_or_skip(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def compiled(request: pytest.FixtureRequest) -> Backend:
    """Each compiled backend in turn: those that are compared with the reference."""
    return backend_or_skip(request.param)
