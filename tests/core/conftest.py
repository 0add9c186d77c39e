"""Fixtures of the core tests."""

from __future__ import annotations

import jaxtyping
import pytest


@pytest.fixture
def no_shape_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches the enforced annotations off, as they are for users, to reach the checks behind them."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
