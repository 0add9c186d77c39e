"""A headless Chromium that opens pages of the web player and compares what it shows with our own pictures."""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon4d.core import Camera
from recon4d.export import draw, prepare
from recon4d.scene import Scene
from tests.export.clients import missing, program

_ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that draws WebGL without a GPU."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the Python package playwright")
    path = program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Any, path: Path, fragment: str = "t=0") -> tuple[Any, list[str]]:
    """A page of the player from the disk, once it is ready, and a list that gathers requests and errors."""
    page = browser.new_page(viewport={"width": 800, "height": 560})
    page.set_default_timeout(120_000)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.goto(f"{path.resolve().as_uri()}#{fragment}")
    wait(page, "document.documentElement.dataset.ready")
    assert page.evaluate("document.documentElement.dataset.ready") == "yes", page.inner_text("#status")
    return page, seen


def wait(page: Any, expression: str, seconds: float = 120) -> None:
    """Until an expression is true.  The page's policy forbids what playwright's own waiting does inside the page."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} is still not true after {seconds:g} s"
        page.wait_for_timeout(50)


def picture(page: Any, camera: Camera, moment: float) -> np.ndarray:
    """[H, W, 3] what the player draws for a camera at a moment, in [0, 1]."""
    address = page.evaluate(
        """([pose, focal, principal, size, time]) => {
            recon4d.scrub(time);
            recon4d.setCamera(pose, focal, principal, size);
            return recon4d.picture();
        }""",
        [
            camera.cam_from_world[:3].tolist(),
            [float(camera.K[0, 0]), float(camera.K[1, 1])],
            [float(camera.K[0, 2]), float(camera.K[1, 2])],
            [camera.width, camera.height],
            moment,
        ],
    )
    return decoded(address)


def decoded(address: str) -> np.ndarray:
    """[H, W, 3] the picture in a data address, in [0, 1]."""
    image = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    return np.asarray(image.convert("RGB")) / 255


def psnr_in_subject(shown: np.ndarray, scene: Scene, camera: Camera, moment: float) -> float:
    """PSNR of a picture against our own rasterizer's, over the pixels that the scene covers."""
    ours = next(draw(prepare(scene, [camera], [moment]))) / 255
    covered = next(draw(prepare(scene, [camera], [moment], what="alpha")))[..., 0] > 12
    assert covered.any()
    return -10 * math.log10(float(np.square(shown - ours)[covered].mean()) + 1e-12)
