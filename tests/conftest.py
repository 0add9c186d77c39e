"""Set-up of every test: shape annotations are enforced, and sample files are found.

The import hook makes beartype check every jaxtyping annotation inside recon4d.  It must be in place before recon4d is
imported for the first time, and tests/packaging/test_annotations.py is the canary that it really checks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

if "recon4d" in sys.modules:
    raise RuntimeError("recon4d was imported before tests/conftest.py, so its shape annotations would go unchecked")
# The tower: an int is welcome where a float is asked for, as to every type checker.
install_import_hook("recon4d", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """The folder of sample videos, meshes and splats named by RECON4D_SAMPLES; skips the test where that is unset."""
    value = os.environ.get("RECON4D_SAMPLES")
    if not value:
        pytest.skip("RECON4D_SAMPLES is not set: no sample files")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"RECON4D_SAMPLES names {folder}, which is not a folder")
    return folder
