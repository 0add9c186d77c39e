"""The small moving subjects, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon4d.data import Dataset, read_dataset
from recon4d.train import Capture, FitConfig, capture_from_dataset
from recon4d.train.frames import Frames, load_frames
from tests.train import room
from tests.train.moving import write_data_set


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("moving") / "capsule")


@pytest.fixture(scope="session")
def dataset(folder: Path) -> Dataset:
    return read_dataset(folder)


@pytest.fixture(scope="session")
def capture(dataset: Dataset) -> Capture:
    """One object before nothing, every frame fitted."""
    return capture_from_dataset(dataset)


@pytest.fixture(scope="session")
def frames(capture: Capture) -> Frames:
    return load_frames(capture, [2])


@pytest.fixture(scope="session")
def two() -> Capture:
    """Two objects before a still background, with tracks; every fifth frame is kept out."""
    return room.capture()


@pytest.fixture
def quick() -> FitConfig:
    """Every part of a fit in a few dozen steps."""
    return FitConfig(
        iterations=20,
        surfels=500,
        initial_surfels=300,
        background_surfels=500,
        bones=4,
        bones_at_first=4,
        levels=((0.0, 2), (0.5, 1)),
        hull_voxels=24,
        density_every=4,
        unseen_every=1,
        surface_from=0.4,
        cameras_from=0.2,
        checkpoint_seconds=0.0,
        snapshot_every=5,
    )


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints after every step: whether they reach the platters is not the matter."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
