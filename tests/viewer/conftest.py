"""Scenes and viewers for the tests of the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon4d.scene import Scene, save
from recon4d.viewer import Project, Viewer
from tests.export.scenes import layered_scene
from tests.viewer.browser import PICTURES, Window, fox_folder, window


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A blob that bends, a ball that flies past, and a wall that stands still."""
    return layered_scene()


@pytest.fixture
def folder(scene: Scene, tmp_path: Path) -> Path:
    """The scene as a folder of its own."""
    place = tmp_path / "clip.r4d"
    save(scene, place)
    return place


@pytest.fixture(scope="module")
def viewer(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """A running viewer of the scene, for all tests of a file."""
    place = tmp_path_factory.mktemp("viewer") / "clip.r4d"
    save(scene, place)
    running = Viewer(Project.open(place), port=0)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A browser's window on a fox, for all tests of a file in their order."""
    with window(fox_folder(tmp_path_factory.mktemp("fox")), PICTURES) as opened:
        opened.dismiss()  # the browser's own warning about drawing without a GPU, which lies over the scene
        yield opened
