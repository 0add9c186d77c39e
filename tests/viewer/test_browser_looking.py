"""Looking and keys in a real browser, by hand: the input frame beside the scene, the mesh, and what keys do.

The tests of this file share one browser and run in their order; each leaves the scene as it found it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from PIL import Image

from recon4d.viewer import exact
from tests.viewer.browser import Window, until


def expected(fox: Window) -> exact.Picture:
    """Our own picture of what the window shows, pixel for pixel."""
    box, session = fox.canvas(), fox.session
    camera = session.camera(round(box["width"]), round(box["height"]))
    return exact.draw(session.project.view, session.playback.time, camera, session.look)


def shown(fox: Window, name: str) -> np.ndarray:
    """The part of a screenshot above the timeline, where the scene is; kept whole."""
    box = fox.canvas()
    left, top = round(box["x"]), round(box["y"])
    found: np.ndarray = fox.screenshot(name)[top : top + 540, left : left + round(box["width"])]
    return found


def line_at(fox: Window, name: str) -> float:
    """Where the orange line runs, as a share of the width; no number while it is not there."""
    pixels = shown(fox, name)
    orange = (pixels[..., 0] - pixels[..., 2] > 60).mean(0)
    columns = np.flatnonzero(orange > 0.8)
    return float(columns.mean() + 0.5) / pixels.shape[1] if len(columns) else np.nan


def test_the_input_frame_is_wiped_over_the_scene(fox: Window):
    fox.tab("Look")
    fox.unfold("Compare with the input")
    fox.check("Show the input frame")
    until(lambda: fox.session.comparing, "the comparison")
    places = {}
    for share in ("0.5", "0.25", "1", "0"):
        fox.fill("Wipe", share)
        target = float(share)
        if 0 < target < 1:
            until(lambda share=share, target=target: abs(line_at(fox, f"wipe-{share}") - target) < 0.01, "the line", 60)
        else:
            time.sleep(1.5)
            places[share] = shown(fox, f"wipe-{share}")
    # All scene against all input: the film was made of this scene, so that both show the same in the same place.
    scene, frame = (Image.fromarray(places[share].astype(np.uint8)).convert("L") for share in ("1", "0"))
    subject = np.isfinite(expected(fox).depth)[:540]
    ours, film = (np.asarray(one).astype(float) for one in (scene, frame))
    assert np.abs(ours - film)[subject].mean() < 12
    inner = slice(20, -20)
    off = {
        (dx, dy): np.abs(np.roll(film, (dy, dx), (0, 1)) - ours)[inner, inner].mean()
        for dx in range(-6, 7, 2)
        for dy in range(-6, 7, 2)
    }
    assert max(map(abs, min(off, key=lambda at: off[at]))) <= 2  # a pixel of the film is two of the window
    fox.fill("Wipe", "0.5")
    fox.check("Show the input frame")
    until(lambda: fox.session.comparing is None, "the end of the comparison")
    fox.rest()


def test_the_mesh_lies_where_the_scene_is(fox: Window):
    subject = np.isfinite(expected(fox).depth)[:540]
    fox.tab("Look")
    fox.choose("Show", "Mesh")
    until(lambda: fox.session.look.mode == "Mesh", "the mode")
    layer = fox.viewer.project.view.layers[0]
    until(lambda: fox.session.shared.meshes.is_made(layer), "the mesh")

    def overlap() -> float:
        pixels = shown(fox, "mesh")
        background = np.rint(255 * np.array(fox.session.look.background))
        mesh = np.abs(pixels - background).max(-1) > 12
        return float((mesh & subject).sum() / (mesh | subject).sum())

    until(lambda: overlap() > 0.85, "the mesh to be shown", 60)
    x, y = (round(v) for v in fox.spot(fox.head()))
    red, _, blue = fox.screenshot("mesh")[y, x]
    assert red - blue < 60  # clay, not fur
    fox.tab("Output")
    with fox.page.expect_download() as download:
        fox.button("Save a snapshot").click()
    image = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    background = np.rint(255 * np.array(fox.session.look.background))
    drawn = np.abs(image - background).max(-1) > 12
    assert 0.3 < drawn.mean() / subject.mean() < 3  # the mesh is on it
    red, _, blue = image[drawn].mean(0)
    assert red - blue < 40
    fox.tab("Look")
    fox.settled(lambda: fox.choose("Show", "Colour"), lambda: fox.session.look.mode == "Colour")


def test_keys_that_need_a_selection_say_so(fox: Window):
    project = fox.viewer.project
    for key in ("Delete", "g", "r", "s"):
        fox.key(key)
        fox.page.get_by_text("choose a tool under Select").first.wait_for()
        fox.dismiss()
    assert len(project.stack) == 0


def test_r_turns_with_rings(fox: Window):
    project, session = fox.viewer.project, fox.session
    fox.settled(lambda: fox.key("a"), lambda: len(session.selecting) == 4000)
    fox.key("r")
    gizmo = until(lambda: session.client.scene.get_handle_by_name("/tools/gizmo"), "the gizmo")
    time.sleep(1.0)
    fox.screenshot("rings")
    space = session.shared.space
    middle = np.asarray(gizmo.position, dtype=np.float64)

    def ring(degrees: float) -> tuple[float, float]:
        """A place on the ring around x, which is a quarter of a circle between y and z."""
        angle = np.radians(degrees)
        return fox.spot(space.to_world(middle + 0.65 * 0.45 * np.array([0.0, np.cos(angle), np.sin(angle)])))

    fox.drag(ring(40), ring(55), ring(75))
    edit = until(lambda: project.stack.edits and project.stack.edits[-1], "the turn")
    assert edit.kind == "transform"
    about_x, about_y, about_z = edit.rotate  # type: ignore[attr-defined]
    assert 20 < about_x < 50
    assert abs(about_y) + abs(about_z) < 1
    assert np.abs(edit.translate).max() < 1e-6  # type: ignore[attr-defined]
    fox.rest()
    fox.screenshot("turned-by-hand")
    fox.key("Escape")
    until(lambda: session.client.scene.get_handle_by_name("/tools/gizmo") is None, "the gizmo to go")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)


def test_s_scales_and_delete_deletes(fox: Window):
    project, session = fox.viewer.project, fox.session
    fox.settled(lambda: fox.key("a"), lambda: len(session.selecting) == 4000)
    fox.settled(lambda: fox.key("s"), lambda: len(project.stack) == 1)

    def spread() -> float:
        layers = project.view.layers
        return float(layers[0].field.at(session.playback.time).centers.double().std(0).norm())

    scaled = spread()
    fox.screenshot("scaled-by-key")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)
    assert scaled / spread() == pytest.approx(1.2, rel=1e-3)
    fox.settled(lambda: fox.key("Delete"), lambda: len(project.stack) == 1)
    assert sum(len(layer.field) for layer in project.view.layers) == 0
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)
    fox.session.selecting.clear()


def test_keys_open_forms(fox: Window):
    fox.tab("Edit")
    for keys, name in (("Shift+D", "Duplicate"), ("c", "Recolour")):
        fox.key(keys)
        until(lambda name=name: fox.row("What").locator("input").first.input_value() == name, f"the form of {name}")


def test_the_palette_runs_a_command_that_has_no_key(fox: Window):
    session = fox.session
    fox.key("Control+k")
    field = fox.page.get_by_placeholder("Search commands...")
    field.wait_for()
    field.fill("save a snap")
    fox.page.get_by_role("button", name="Save a snapshot").last.wait_for()
    time.sleep(0.5)
    fox.screenshot("palette-open")
    with fox.page.expect_download() as download:
        field.press("Enter")
    field.wait_for(state="detached")
    image = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    camera = session.camera()
    ours = exact.draw(session.project.view, session.playback.time, camera, session.look).rgb
    assert np.abs(image - ours).max() <= 1
    assert len(session.selecting) == 0  # no letter of it was taken for a key
    assert not session.playback.playing


def test_typing_a_name_is_no_command(fox: Window):
    fox.tab("Edit")
    fox.session.selecting.clear()
    fox.unfold("Named parts")
    field = fox.row("Name").locator("input").last
    field.click()
    fox.page.keyboard.type("a grass")
    field.press("Delete")
    time.sleep(1.0)
    assert field.input_value() == "a grass"
    assert len(fox.session.selecting) == 0
    assert len(fox.viewer.project.stack) == 0
    field.fill("")


def test_no_page_failed_and_nothing_is_left(fox: Window):
    assert not fox.errors
    assert len(fox.viewer.project.stack) == 0
    assert torch.isfinite(fox.viewer.project.view.layers[0].field.canonical.centers).all()
