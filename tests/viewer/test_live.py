"""Watching a scene while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from recon4d.scene import Layer, Scene
from recon4d.viewer import LiveViewer
from recon4d.viewer.live import scene_of
from tests.viewer.hostile import camera_message, invited, socket
from tests.viewer.test_hostile_clients import unpacked


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


def test_nothing_is_copied_while_nobody_looks(live: LiveViewer):
    live.show(lambda: pytest.fail("nobody looks"), "step 1")


def test_what_comes_in_is_shown(live: LiveViewer, scene: Scene):
    async def watch() -> bytes:
        async with socket(live.viewer.server, cookie=invited(live.viewer.server)) as connection:
            await connection.send(camera_message())
            seen = b""
            async with asyncio.timeout(60):
                while b"GuiPanelMessage" not in seen:
                    seen = unpacked(await connection.recv())
                await asyncio.to_thread(live.show, lambda: scene.layers, "step 100 of <b>200</b>")
                while b"GaussianSplatsMessage" not in seen:
                    seen += unpacked(await connection.recv())
            return seen

    seen = asyncio.run(watch())
    assert b"step 100 of" in seen
    assert b"<b>200" not in seen
    assert [layer.name for layer in live.viewer.project.view.layers] == ["blob", "ball", "wall"]


def test_a_scene_that_cannot_be_shown_stops_nothing(live: LiveViewer, caplog: pytest.LogCaptureFixture):
    def broken() -> list[Layer]:
        raise RuntimeError("torn")

    live.show(broken, "last step", last=True)
    assert "torn" in caplog.text
