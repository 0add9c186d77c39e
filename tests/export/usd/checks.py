"""What a USD file must pass: it opens, and every validator that comes with USD is content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.export.clients import missing


def opened(path: Path) -> Any:
    """The stage, once all validators have found nothing."""
    try:
        from pxr import Usd, UsdValidation
    except ImportError:
        missing("the Python package usd-core")
    stage = Usd.Stage.Open(str(path))
    registry = UsdValidation.ValidationRegistry()
    validators = registry.GetOrLoadAllValidators()
    assert len(validators) >= 25
    context = UsdValidation.ValidationContext(validators)
    errors = context.Validate(stage)
    assert not errors, [f"{error.GetName()}: {error.GetMessage()}" for error in errors]
    return stage
