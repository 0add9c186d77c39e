"""One fixture: every test that takes `backend` runs on every rasterizer there is."""

from __future__ import annotations

import pytest

from tests.render.helpers import Backend, backend_or_skip


@pytest.fixture(params=["reference", "cpu", "cuda"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    return backend_or_skip(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def compiled(request: pytest.FixtureRequest) -> Backend:
    """Each compiled backend in turn: those that are compared with the reference."""
    return backend_or_skip(request.param)
