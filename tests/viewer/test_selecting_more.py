"""Selecting by values, planes and masks, as their panels do it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recon4d.core import InputError
from recon4d.editors import Reverse
from recon4d.scene import Scene
from recon4d.viewer import Project
from recon4d.viewer.histogram import histogram
from recon4d.viewer.masks import read_mask, selection_of
from recon4d.viewer.panels import selecting_more
from recon4d.viewer.panels.selecting_more import MaskPanel, PlanePanel, ValuesPanel, plane_through
from recon4d.viewer.playback import Playback
from recon4d.viewer.selecting import Selecting
from recon4d.viewer.space import Space
from tests.viewer.paper import Page


@pytest.fixture
def bench(scene: Scene) -> Any:
    """The tools of a session that draws nothing."""
    project = Project(scene)
    session = SimpleNamespace(
        gui=Page(), project=project, selecting=Selecting(project, lambda: None), told=[],
        playback=Playback(scene.frame_times.numpy(), 0.0), guarded=lambda action: action,
        shared=SimpleNamespace(space=Space.of(project.view)), notify=lambda *words, **_: session.told.append(words),
        scene=SimpleNamespace(get_handle_by_name=lambda _: None, add_point_cloud=lambda *_, **__: None),
        camera=lambda: scene.cameras[0],
    )  # fmt: skip
    return SimpleNamespace(session=session, tools=SimpleNamespace(how="New", through=False, intercept=None))


def centers(bench: Any, layer: str) -> torch.Tensor:
    return bench.session.project.view.layer(layer).field.at(bench.session.playback.time).centers


def test_a_range_of_values(bench: Any):
    ValuesPanel(bench, bench.session.gui.add_folder(""))
    page, selecting = bench.session.gui.controls, bench.session.selecting
    page["Property"].set("Z")
    low, high = page["At least"].value, page["At most"].value
    page["Select this range"].set(True)
    assert len(selecting) == 400 + 100 + 300  # the whole range is everything
    page["At least"].set((low + high) / 2)
    page["Select this range"].set(True)
    for layer in ("blob", "wall"):
        above = centers(bench, layer)[:, 2] >= (low + high) / 2
        assert torch.equal(selecting.marks.get(layer, torch.zeros_like(above)), above)


def test_a_histogram_counts_what_can_be_selected(bench: Any):
    found = histogram(bench.session.project.state, "red", 0.0, (0.0, 0.0, 1.0))
    assert found.counts.sum() == 800
    assert found.low == pytest.approx(0.1, abs=1e-3)
    assert found.high == pytest.approx(0.8, abs=1e-3)
    assert found.counts[0] == 100  # the ball
    assert len(found.bars().strip()) == len(found.counts)
    assert found.bars().count(" ") == (found.counts == 0).sum()


def test_one_side_along_an_axis(bench: Any):
    PlanePanel(bench, bench.session.gui.add_folder(""))
    page, selecting = bench.session.gui.controls, bench.session.selecting
    page["Side"].set("-x")
    page["From"].set(0.2)
    page["Select this side"].set(True)
    assert torch.equal(selecting.marks["blob"], centers(bench, "blob")[:, 0] <= -0.2)


@pytest.mark.parametrize("far", [False, True])
def test_three_clicks_span_a_plane(bench: Any, monkeypatch: pytest.MonkeyPatch, far: bool):
    places = iter(np.array([[0.0, 0, 0.1], [1, 0, 0.1], [0, 1, 0.1]]))
    monkeypatch.setattr(selecting_more, "hit", lambda *_: next(places))
    monkeypatch.setattr(selecting_more, "ray", lambda *_: (np.zeros(3), np.zeros(3)))
    PlanePanel(bench, bench.session.gui.add_folder(""))
    page, selecting = bench.session.gui.controls, bench.session.selecting
    page["The far side of the clicks"].set(far)
    page["Three clicks on the surface"].set(True)
    for _ in range(3):
        bench.tools.intercept((0.5, 0.5))
    assert bench.tools.intercept is None
    above = centers(bench, "blob")[:, 2] >= 0.1  # where the camera is
    assert torch.equal(selecting.marks["blob"], ~above if far else above)


def test_a_line_is_no_plane():
    with pytest.raises(InputError, match="plane"):
        plane_through([np.zeros(3), np.ones(3), 2.001 * np.ones(3)], np.array([0.0, 0, 5]), 0.0, far=False)


def png(mask: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray((255 * mask).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("scale", [1, 20])
def test_a_mask_of_the_frame(bench: Any, scale: int, monkeypatch: pytest.MonkeyPatch):
    """The left half of the frame is what projects there, also of a frame that is shown at another time."""
    taken: list[Any] = []
    monkeypatch.setattr(selecting_more, "on_file", lambda session, button, take: taken.append(take))
    project, selecting = bench.session.project, bench.session.selecting
    project.add(Reverse())
    bench.tools.through = True
    MaskPanel(bench, bench.session.gui.add_folder(""))
    camera = project.scene.cameras[-1]
    mask = np.zeros((camera.height * scale, camera.width * scale), bool)
    mask[:, : mask.shape[1] // 2] = True
    taken[0]("mask.png", png(mask))
    spots, depths = camera.project(project.scene.layer("blob").field.at(1.0).centers)
    x = spots[:, 0]
    inside = (depths > 0) & (x >= 0) & (x < camera.width / 2)
    assert torch.equal(selecting.marks["blob"], inside)
    assert 50 < int(inside.sum()) < 350


def test_what_is_no_mask_is_refused(scene: Scene):
    camera = scene.cameras[0]
    for content in (b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"GIF89a", png(np.ones((30, 90))), png(np.zeros((48, 64)))):
        with pytest.raises(InputError, match="mask"):
            selection_of(content, camera, 0.0)
    whole = png(np.ones((48, 64)))
    with pytest.raises(InputError, match="mask"):
        read_mask(whole[: len(whole) // 2])


def test_what_is_transparent_is_not_meant():
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    assert read_mask(content.getvalue()).sum() == 8
