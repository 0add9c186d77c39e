"""The picture that comes with the page: what it shows, that it follows edits, and that the page is whole without it."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from recon4d.core import Camera
from recon4d.editors import All, Recolor
from recon4d.scene import Scene
from recon4d.viewer import Project, Viewer, exact
from recon4d.viewer.look import Look
from recon4d.viewer.page import branded
from recon4d.viewer.poster import HEIGHT, Poster
from recon4d.viewer.space import Space
from tests.viewer.hostile import get, invited


def picture(html: str) -> np.ndarray:
    """[H, W, 3] the picture in a part of a page."""
    found = re.search(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert found
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")).astype(int)


def test_it_is_the_exact_picture_of_the_first_camera(scene: Scene):
    project = Project(scene)
    pixels = picture(Poster(project).html(Space.of(project.view)))
    camera = scene.cameras[0]
    # As high as the camera's own pictures, and wider.
    width = round(HEIGHT * camera.width / camera.height)
    own = exact.draw(scene, float(scene.frame_times[0]), camera.resized(width, HEIGHT), Look()).rgb.astype(int)
    assert pixels.shape[0] == HEIGHT
    left = (pixels.shape[1] - width) // 2
    error = ((pixels[:, left : left + width] - own) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 32


def test_it_follows_edits_and_is_drawn_once_for_each_state(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    drawn = []
    real = exact.draw
    monkeypatch.setattr(exact, "draw", lambda *a, **k: drawn.append(1) or real(*a, **k))
    project = Project(scene)
    poster, space = Poster(project), Space.of(project.view)
    before = poster.html(space)
    assert poster.html(space) == before
    assert len(drawn) == 1
    project.add(Recolor(select=All(), color=(0.0, 0.0, 1.0)))
    after = poster.html(space)
    assert len(drawn) == 2
    assert np.abs(picture(after) - picture(before)).max() > 60


def test_a_picture_that_cannot_be_drawn_costs_nothing_but_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(exact, "draw", fail)
    project = Project(scene)
    assert Poster(project).html(Space.of(project.view)) == ""
    assert b'id="root"' in branded("")


def test_it_is_drawn_from_where_browsers_begin_after_another_scene_has_come(scene: Scene):
    viewer = Viewer(Project(scene), port=0)
    try:
        first = picture(viewer.poster.html(viewer.shared.space))
        camera = Camera.look_at([2.0, 0.1, 0.1], width=64, height=64)
        nearer = Scene(scene.frame_times, [camera] * len(scene.cameras), scene.layers)
        viewer.project.replace_scene(nearer)
        viewer.scene_replaced()
        assert np.abs(picture(viewer.poster.html(viewer.shared.space)) - first).max() > 60
    finally:
        viewer.stop()


def test_the_page_that_is_sent_has_it_at_the_end_of_its_body(viewer: Viewer):
    answer = get(viewer.server, "/", Cookie=invited(viewer.server))
    text = answer.body.decode()
    assert text.rstrip().endswith("</html>")
    assert text.index('<div id="root">') < text.index('<img id="poster"') < text.rindex("</body>")
    assert picture(text).std() > 5
