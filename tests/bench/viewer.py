"""How quick the viewer is: first picture, playback, exact picture at rest, undo; and a soak of random clicks.

    python -m tests.bench.viewer                        the figures, on a scene of 50,000 surfels
    python -m tests.bench.viewer --soak 600             random clicks for so many seconds, memory watched

The figures are those of a client that speaks the page's protocol over loopback and draws nothing, so that they are the
viewer's own; with --browser also of a real one, whose drawing without a GPU takes most of the machine.  Seconds are
given as they passed and as the viewer's process worked (CPU), because the first depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from recon4d.editors import All
from recon4d.editors.edits.color import Recolor
from recon4d.viewer import Project, Viewer
from tests.bench.viewer_actions import Artist
from tests.viewer.browser import fox_folder, until
from tests.viewer.hostile import camera_message, invited, socket

WIDTH, HEIGHT = 800, 450


class Loopback:
    """A client that keeps what it is told and draws nothing.

    Args:
        viewer: that it connects to.
        connection: its socket.
    """

    def __init__(self, viewer: Viewer, connection: Any) -> None:
        self.viewer, self.connection = viewer, connection
        self.buttons: list[str] = []

    async def camera(self, **changes: Any) -> None:
        """Say where the camera is."""
        page = self.viewer.shared.space.page_camera(self.viewer.project.view.cameras[0])
        message = {
            "position": page.position.tolist(),
            "look_at": page.look_at.tolist(),
            "up_direction": page.up.tolist(),
            "fov": page.fov,
            "image_width": WIDTH,
            "image_height": HEIGHT,
            "wxyz": _facing(page),
        }
        await self.connection.send(camera_message(**(message | changes)))

    async def until(self, wanted: Any, seconds: float = 120) -> float:
        """Seconds until a message that is wanted comes."""
        begun = time.perf_counter()
        async with asyncio.timeout(seconds):
            while True:
                for message in messages(await self.connection.recv()):
                    if message["type"] == "GuiButtonGroupMessage" or message["type"] == "GuiButtonMessage":
                        self.buttons.append(message["uuid"])
                    if wanted(message):
                        return time.perf_counter() - begun


def messages(raw: bytes) -> list[dict[str, Any]]:
    """The messages of one frame of the socket."""
    import zstandard

    size = int.from_bytes(raw[8:16], "little")
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(raw[16 : 16 + size]))["messages"]


def is_picture(message: dict[str, Any]) -> bool:
    """A picture with depth: one of our own rasterizer, and no plain background."""
    return message["type"] == "BackgroundImageMessage" and message["depth_data"] is not None


def is_frame(message: dict[str, Any]) -> bool:
    """A frame of splats."""
    return message["type"] == "SceneNodeUpdateMessage" and "buffer" in message["updates"]


async def figures(viewer: Viewer) -> dict[str, float]:
    """The figures of one client."""
    found: dict[str, float] = {}
    async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
        client = Loopback(viewer, connection)
        begun = time.perf_counter()
        await client.camera()
        await client.until(lambda message: is_frame(message) or is_picture(message))
        found["first picture after the socket opens, s"] = time.perf_counter() - begun
        session = list(viewer.sessions.values())[-1]
        await asyncio.to_thread(session.stage.picture_sent.wait, 60)
        await drained(connection)

        waits, work = [], []
        for i in range(5):
            await client.camera(position=[2.6, -1.0 + 0.1 * i, 0.6])
            await asyncio.sleep(0.05)
            session.stage.picture_sent.clear()
            before, cpu = session._moved_at, time.process_time()
            await asyncio.to_thread(session.stage.picture_sent.wait, 60)
            waits.append(time.monotonic() - before)
            work.append(time.process_time() - cpu)
            await drained(connection)
        found["camera rests to the full picture of 800x450, s"] = min(waits)
        found["the same, CPU s"] = min(work)

        session.playback.play()
        session.time_changed()
        frames, cpu, begun = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - begun < 8:
            frames += sum(is_frame(message) for message in messages(await connection.recv()))
        passed = time.perf_counter() - begun
        found["playback, frames a second"] = frames / passed
        found["playback, CPU s a frame"] = (time.process_time() - cpu) / max(frames, 1)
        session.playback.playing = False
        await drained(connection)

        project = viewer.project
        project.add(Recolor(select=All(), color=(0.2, 0.4, 0.9)))
        times, seen = [], []
        for _ in range(5):
            await drained(connection)
            begun = time.perf_counter()
            await asyncio.to_thread(project.undo)
            times.append(time.perf_counter() - begun)
            await client.until(lambda message: is_frame(message) or is_picture(message))
            seen.append(time.perf_counter() - begun)
            project.redo()
        project.undo()
        found["undo, s"] = min(times)
        found["undo to the next picture, s"] = min(seen)
    return found


async def drained(connection: Any) -> None:
    """Read what is still under way."""
    try:
        while True:
            await asyncio.wait_for(connection.recv(), 0.3)
    except TimeoutError:
        return


def _facing(page: Any) -> list[float]:
    """The turn of a camera that looks from its position to its point."""
    import numpy as np
    import torch

    from recon4d.core import quaternion

    z = page.look_at - page.position
    z = z / np.linalg.norm(z)
    x = np.cross(z, page.up)
    x /= np.linalg.norm(x)
    turn = torch.from_numpy(np.stack([x, np.cross(z, x), z], axis=1))
    return quaternion.from_matrix(turn).tolist()


def memory() -> float:
    """Resident MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Heard(logging.Handler):
    """Keeps errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def soak(viewer: Viewer, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Do at random what an artist does, through the panels of a client, and watch memory and the log."""
    heard = Heard()
    logging.getLogger().addHandler(heard)
    chance = random.Random(seed)
    marks: list[float] = []

    async def run() -> dict[str, int]:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            client = Loopback(viewer, connection)
            await client.camera()
            await client.until(is_frame)
            session = list(viewer.sessions.values())[-1]
            reading = asyncio.create_task(read_all(connection))
            window = await asyncio.to_thread(until, lambda: viewer.windows.get(session.client.client_id), "the panels")
            artist = Artist(connection, session, window, chance)
            ending, mark = time.monotonic() + seconds, time.monotonic() + seconds / 6
            while time.monotonic() < ending:
                await artist.act()
                await client.camera(position=[3 * chance.uniform(-1, 1), -2.5, chance.uniform(-1, 2)])
                if time.monotonic() > mark:
                    await artist.rest()
                    marks.append(memory())
                    mark += seconds / 6
                await asyncio.sleep(0.02)
            await artist.rest()
            marks.append(memory())
            reading.cancel()
            return artist.done

    done = asyncio.run(run())
    return {
        "seconds": seconds,
        "actions": sum(done.values()),
        "of each kind": done,
        "MiB over time": [round(mark) for mark in marks],
        "growth after the first sixth": marks[-1] / marks[0] - 1,
        "errors in the log": heard.lines,
    }


async def read_all(connection: Any) -> None:
    """Throw away what the viewer sends."""
    while True:
        await connection.recv()


# When Chromium has painted the picture that comes with the page, milliseconds since 1970.
_PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
    const found = list.getEntries().filter((entry) => entry.identifier === "poster");
    if (found.length) done(performance.timeOrigin + found[0].renderTime);
}).observe({ type: "element", buffered: true }))"""


def in_browser(folder: Path) -> dict[str, float]:
    """Seconds from opening the page in Chromium to its first picture, to splats, and to panels and exact picture."""
    from tests.viewer.browser import window

    with window(folder, Path("out/viewer/bench")) as opened:
        return {
            "page opens to its first picture painted in Chromium without a GPU, s": (
                opened.page.evaluate(_PAINTED) / 1000 - opened.began
            ),
            "page opens to the first frame of splats on its way to Chromium without a GPU, s": opened.first_frame,
            "page opens to panels and the exact picture in Chromium without a GPU, s": opened.opened,
        }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surfels", type=int, default=50_000)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of random clicks, in place of the figures")
    parser.add_argument("--browser", action="store_true", help="also the first picture in Chromium")
    parser.add_argument("--json", type=Path, help="write the figures here too, as to publish them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = fox_folder(Path(place), options.surfels)
        # A small cache is full soon, so that what grows after that is no cache.
        memory = 32 * 2**20 if options.soak else 512 * 2**20
        viewer = Viewer(Project.open(folder), port=0, memory=memory)
        try:
            found = soak(viewer, options.soak) if options.soak else asyncio.run(figures(viewer))
        finally:
            viewer.stop()
        if options.browser:
            found |= in_browser(folder)
    told = json.dumps({"surfels": options.surfels} | found, indent=1)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    main()
