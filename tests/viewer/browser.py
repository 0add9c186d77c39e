"""A real browser on a running viewer: Debian's Chromium, driven as a hand would drive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon4d.core import Camera
from recon4d.export import draw_video
from recon4d.scene import Layer, Scene, save
from recon4d.synthetic.creature_field import creature_field
from recon4d.viewer import Project, Viewer
from recon4d.viewer.session import Session
from recon4d.viewer.tools import HINTS, Tool
from tests.export.web.browser import chromium

WIDTH, HEIGHT = 1240, 780
PICTURES = Path(__file__).resolve().parents[2] / "out" / "viewer"
PATIENCE = 120.0  # seconds, on a machine that is busy with other things


def fox_scene(surfels: int = 4000) -> Scene:
    """A quadruped that walks, seen from its right side and front."""
    times = torch.arange(24, dtype=torch.float64) / 24
    angles = np.linspace(-0.3, 1.5, 24)
    cameras = [
        Camera.look_at(
            [3.0 * np.cos(a) - 0.3, 3.0 * np.sin(a), 0.8], [-0.3, 0.0, -0.05], fov_y_degrees=36, width=320, height=240
        )
        for a in angles
    ]
    return Scene(
        times,
        cameras,
        [Layer("fox", "object", creature_field("quadruped", surfels))],
        provenance={"input": {"name": "fox.mp4"}},
    )


def fox_folder(place: Path, surfels: int = 4000) -> Path:
    """The scene as a folder, with the film that it was made from beside it."""
    scene = fox_scene(surfels)
    folder = place / "fox.r4d"
    save(scene, folder)
    draw_video(scene, scene.cameras, scene.frame_times.tolist(), output=place / "fox.mp4", fps=24)
    return folder


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What a condition gives when it first gives something."""
    ending = time.monotonic() + seconds
    while time.monotonic() < ending:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


class Window:
    """A browser's window on a viewer, and the session behind it.

    Args:
        viewer: that it looks at.
        page: of playwright.
        pictures: where screenshots go.
    """

    def __init__(self, viewer: Viewer, page: Any, pictures: Path) -> None:
        self.viewer, self.page, self.pictures = viewer, page, pictures
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.began = self.first_frame = self.opened = 0.0
        self.open()

    def open(self, link: str | None = None) -> None:
        """Open the page, and wait for its panels and the first exact picture."""
        begun, self.began = time.monotonic(), time.time()
        self.page.goto(self.viewer.link if link is None else link)
        until(lambda: self.session.stage._nodes, "the first splats")
        self.first_frame = time.monotonic() - begun
        self.page.get_by_role("tab", name="Timeline").wait_for()
        self.rest()
        self.opened = time.monotonic() - begun
        self.ready()

    def ready(self) -> None:
        """Wait until the panels have their places and the page has faded in."""

        def placed() -> bool:
            # The page draws at fewer pixels than it shows where drawing is slow; the shape is the same.
            camera, box = self.session.client.camera, self.canvas()
            return abs(camera.image_width / max(camera.image_height, 1) - box["width"] / box["height"]) < 0.01

        until(placed, "the panels")
        self.rest()
        background = np.rint(255 * np.array(self.session.look.background))

        def clear() -> bool:
            box = self.canvas()
            x, y = round(box["x"] + box["width"] - 30), round(box["y"] + 30)
            return bool(np.abs(self.screenshot("ready")[y, x] - background).max() <= 2)

        until(clear, "the page to fade in")

    @property
    def session(self) -> Session:
        """The newest session."""
        return until(lambda: list(self.viewer.sessions.values()), "a session")[-1]

    def rest(self) -> None:
        """Wait until the exact picture is shown."""
        until(lambda: self.session.settled, "the exact picture")
        time.sleep(0.4)  # for the page to decode it

    def settled(self, action: Callable[[], Any], effect: Callable[[], Any]) -> None:
        """Do something, wait for its effect in the session, and then for the exact picture."""
        action()
        until(effect, "the effect")
        time.sleep(0.3)  # what has changed is told to the session next
        self.rest()

    def still(self) -> None:
        """Wait until the camera has swung out: a drag goes on for a moment after the hand has let go."""
        camera, known, since = self.session.client.camera, np.zeros(3), time.monotonic()
        while time.monotonic() - since < 1.5:
            now = np.array(camera.position)
            if np.abs(now - known).max() > 1e-6:
                known, since = now, time.monotonic()
            time.sleep(0.05)
        self.rest()

    def centers(self) -> np.ndarray:
        """[N, 3] the first layer's surfels in the world as the scene has them, at the moment shown."""
        field = self.viewer.project.scene.layers[0].field
        found: np.ndarray = field.at(self.session.playback.time).centers.double().numpy()
        return found

    def head(self) -> np.ndarray:
        """[3] the middle of the fox's head in the world, at the moment shown: the foremost surfels."""
        places = self.centers()
        found: np.ndarray = places[places[:, 0] > np.quantile(places[:, 0], 0.93)].mean(0)
        return found

    def canvas(self) -> dict[str, float]:
        """The box of the picture, pixels of the window."""
        box = self.page.locator("canvas").first.bounding_box()
        assert box is not None
        return box

    def spots(self, points_in_world: np.ndarray) -> np.ndarray:
        """[N, 2] where points [N, 3] of the scene are in the window, pixels."""
        box = self.canvas()
        camera = self.session.camera(round(box["width"]), round(box["height"]))
        pixels, _ = camera.project(torch.as_tensor(points_in_world, dtype=torch.float64))
        found: np.ndarray = pixels.numpy() + np.array([box["x"], box["y"]])
        return found

    def spot(self, point_in_world: np.ndarray) -> tuple[float, float]:
        """Where a point of the scene is in the window, pixels."""
        x, y = self.spots(point_in_world[None])[0].tolist()
        return x, y

    def drag(self, *spots: tuple[float, float], steps: int = 8) -> None:
        """Press at the first place, move through the others, and let go."""
        mouse = self.page.mouse
        mouse.move(*spots[0])
        mouse.down()
        for spot in spots[1:]:
            mouse.move(*spot, steps=steps)
            time.sleep(0.08)
        mouse.up()

    def key(self, keys: str) -> None:
        """Press keys while no control has the focus."""
        self.page.evaluate("document.activeElement && document.activeElement.blur()")
        self.page.keyboard.press(keys)

    def tool(self, key: str, tool: Tool) -> None:
        """Take a tool by its key, and wait until the page says so: from then on the mouse is the tool's."""
        self.key(key)
        self.page.get_by_text(HINTS[tool], exact=True).wait_for()
        time.sleep(0.3)

    def button(self, name: str, index: int = 0) -> Any:
        """A button by what stands on it."""
        return self.page.get_by_role("button", name=name, exact=True).nth(index)

    def dismiss(self) -> None:
        """Close every message of the page, and wait until they have gone.

        Pressed in the page and not with the mouse: a press misses a message that still slides in or out, and one
        that the mouse then rests on never closes by itself.
        """
        press = """() => {
            const crosses = document.querySelectorAll("button.mantine-Notification-closeButton");
            crosses.forEach((cross) => cross.click());
            return crosses.length;
        }"""
        until(lambda: self.page.evaluate(press) == 0, "the messages to go")

    def tab(self, name: str) -> None:
        """Open a tab."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def unfold(self, title: str) -> None:
        """Open a folder, and wait until it has unfolded: a click on what is still on its way misses."""
        folder = self.page.get_by_text(title, exact=True).locator("visible=true").first
        folder.click()
        panel, known, since = folder.locator("xpath=.."), -1.0, time.monotonic()
        while time.monotonic() - since < 0.6:
            box = panel.bounding_box()
            height = -1.0 if box is None else float(box["height"])
            if height != known:
                known, since = height, time.monotonic()
            time.sleep(0.05)

    def choose(self, label: str, option: str) -> None:
        """Choose in a list by its label."""
        self.row(label).locator("input").first.click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def fill(self, label: str, value: str) -> None:
        """Type into the field with a label."""
        field = self.row(label).locator("input").last
        field.fill(value)
        field.press("Enter")

    def check(self, label: str) -> None:
        """Switch a box by its label."""
        self.row(label).locator("input[type=checkbox]").click(force=True)

    def row(self, label: str) -> Any:
        """The control with a label: the innermost element that holds both."""
        text = self.page.get_by_text(label, exact=True).locator("visible=true").first
        return text.locator("xpath=ancestor::*[.//input][1]")

    def screenshot(self, name: str) -> np.ndarray:
        """Keep a screenshot; its pixels."""
        import io

        from PIL import Image

        content = self.page.screenshot()
        self.pictures.mkdir(parents=True, exist_ok=True)
        (self.pictures / f"{name}.png").write_bytes(content)
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@contextmanager
def window(folder: Path, pictures: Path) -> Iterator[Window]:
    """A viewer of a scene folder, and a browser that looks at it."""
    viewer = Viewer(Project.open(folder), port=0)
    try:
        with chromium() as browser:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            yield Window(viewer, page, pictures)
    finally:
        viewer.stop()
