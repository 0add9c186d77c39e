"""Watching a scene while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from recon4d.core import Camera
from recon4d.export import find_subject
from recon4d.scene import Layer, Scene
from recon4d.viewer import LiveViewer, Project, Viewer
from recon4d.viewer.live import scene_of
from tests.viewer.hostile import camera_message, invited, said, socket, unpacked


@pytest.fixture
def live() -> Iterator[LiveViewer]:
    one = LiveViewer(port=0)
    yield one
    one.stop()


def test_layers_without_cameras_become_a_scene(scene: Scene):
    made = scene_of(scene.layers)
    assert made.frame_times[0] == scene.frame_times[0]
    assert made.frame_times[-1] >= scene.frame_times[-1]
    assert len(made.cameras) == len(made.frame_times)
    assert scene_of(scene.layers[2:]).frame_times.tolist() == [0.0]


def test_a_fit_keeps_its_memory(monkeypatch: pytest.MonkeyPatch):
    bounds: list[int] = []
    monkeypatch.setattr("recon4d.viewer.app.keep_idle_memory", bounds.append)
    LiveViewer(port=0).stop()
    assert bounds == []
    Viewer(Project(scene_of([])), port=0).stop()
    assert len(bounds) == 1


def test_nothing_is_copied_while_nobody_looks(live: LiveViewer):
    live.show(lambda: pytest.fail("nobody looks"), "step 1")


def test_what_comes_in_is_shown(live: LiveViewer, scene: Scene):
    async def watch() -> bytes:
        async with socket(live.viewer.server, cookie=invited(live.viewer.server)) as connection:
            await connection.send(camera_message())
            seen = await said(connection, b"GuiPanelMessage")
            await asyncio.to_thread(live.show, lambda: scene.layers, "step 100 of <b>200</b>")
            async with asyncio.timeout(120):
                while b"GaussianSplatsMessage" not in seen:
                    seen += unpacked(await connection.recv())
            return seen

    seen = asyncio.run(watch())
    assert b"step 100 of" in seen
    assert b"<b>200" not in seen
    assert [layer.name for layer in live.viewer.project.view.layers] == ["blob", "ball", "wall"]


def test_all_of_the_subject_is_seen_between_the_panels(scene: Scene):
    made = scene_of(scene.layers)
    first = made.cameras[0].to("cpu", torch.float64)
    K = first.K.clone()
    K[0, 2], K[1, 2] = 190, 240  # of a small window: higher than it is wide, with the same view from top to bottom
    canvas = Camera(K, first.cam_from_world, 380, 480)
    subject = find_subject(made)
    around = subject.middle_at(0.0) + subject.radius * np.concatenate([np.eye(3), -np.eye(3)])
    pixels, _ = canvas.project(torch.from_numpy(around))
    assert bool(((pixels > 0) & (pixels < torch.tensor([380, 480]))).all())


def test_pages_are_told_that_it_is_over(live: LiveViewer):
    async def watch() -> bytes:
        async with socket(live.viewer.server, cookie=invited(live.viewer.server)) as connection:
            await connection.send(camera_message())
            await said(connection, b"GuiPanelMessage")
            stopping = asyncio.create_task(asyncio.to_thread(live.stop))
            seen = await said(connection, b"Ended.")  # raises when the connection closes first
            await stopping
            return seen

    assert b"recon4d view" in asyncio.run(watch())


def test_a_scene_that_cannot_be_shown_stops_nothing(live: LiveViewer, caplog: pytest.LogCaptureFixture):
    def broken() -> list[Layer]:
        raise RuntimeError("torn")

    live.show(broken, "last step", last=True)
    assert "torn" in caplog.text
