"""The small moving subject, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon4d.data import Dataset, read_dataset
from recon4d.train import FitConfig
from recon4d.train.frames import Frames, load_frames
from tests.train.moving import write_data_set


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("moving") / "capsule")


@pytest.fixture(scope="session")
def dataset(folder: Path) -> Dataset:
    return read_dataset(folder)


@pytest.fixture(scope="session")
def frames(dataset: Dataset) -> Frames:
    return load_frames(dataset.split("train"), [2])


@pytest.fixture
def quick() -> FitConfig:
    """Every part of a fit in a few dozen steps."""
    return FitConfig(
        iterations=20,
        surfels=500,
        initial_surfels=300,
        bones=4,
        levels=((0.0, 2), (0.5, 1)),
        hull_voxels=24,
        density_every=4,
        surface_from=0.4,
        checkpoint_seconds=0.0,
        snapshot_every=5,
    )
