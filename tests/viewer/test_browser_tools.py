"""The rest of the tools in a real browser, by hand: lasso to handles, paint, tape, files, pictures, pages, invitations.

The tests of this file share one browser and run in their order; each leaves the scene as it found it.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from recon4d.editors import Insert
from recon4d.viewer.moving import selected_points
from recon4d.viewer.tools import HINTS, Tool
from tests.viewer.browser import Window, until


def ear(fox: Window) -> np.ndarray:
    """A place on an ear, above the head and whatever is put there."""
    places = fox.centers()
    high = places[places[:, 2] > np.quantile(places[:, 2], 0.985)]
    eye = fox.session.camera(640, 480).center_in_world.numpy()
    found: np.ndarray = high[np.linalg.norm(high - eye, axis=1).argmin()]
    return found


def take(fox: Window, tool: Tool) -> None:
    """Take a tool from the list."""
    fox.tab("Edit")
    fox.session.selecting.clear()
    fox.choose("Tool", tool)
    fox.page.get_by_text(HINTS[tool], exact=True).wait_for()
    time.sleep(0.3)


def selected(fox: Window) -> np.ndarray:
    """[N, 2] where what is selected is in the window."""
    points = selected_points(fox.session)
    assert points is not None
    return fox.spots(points.double().numpy())


def test_a_lasso_selects_what_it_goes_around(fox: Window):
    take(fox, "Lasso")
    x, y = fox.spot(fox.head())
    around = [(x + 70 * np.cos(a), y + 70 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)]
    fox.settled(lambda: fox.drag(*around, steps=4), lambda: len(fox.session.selecting) > 50)
    assert (np.linalg.norm(selected(fox) - [x, y], axis=1) < 78).mean() > 0.97
    fox.screenshot("lasso")


def test_a_polygon_is_closed_by_enter(fox: Window):
    take(fox, "Polygon")
    x, y = fox.spot(fox.head())
    for corner in ((x - 70, y - 70), (x + 70, y - 70), (x + 70, y + 60), (x - 70, y + 60)):
        fox.page.mouse.click(*corner)
        time.sleep(0.4)
    fox.screenshot("polygon-drawn")
    fox.settled(lambda: fox.key("Enter"), lambda: len(fox.session.selecting) > 50)
    assert (np.abs(selected(fox) - [x, y - 5]) < [78, 75]).mean() > 0.97
    fox.screenshot("polygon")


@pytest.mark.parametrize("tool", ["Box", "Ball"])
def test_a_box_and_a_ball_are_moved_to_what_they_select(fox: Window, tool: Tool):
    take(fox, tool)
    gizmo = until(lambda: fox.session.client.scene.get_handle_by_name("/tools/region"), "the gizmo")
    until(lambda: fox.session.selecting.shown, "what is inside")
    time.sleep(0.5)
    space = fox.session.shared.space
    before = np.array(gizmo.position, dtype=np.float64)
    tip = space.to_world(before) + np.array([0.0, 0.0, 0.42]) / space.factor
    up = tip + np.array([0.0, 0.0, 0.25]) / space.factor
    fox.drag(fox.spot(tip), fox.spot((tip + up) / 2), fox.spot(up))
    until(lambda: np.abs(np.array(gizmo.position) - before).max() > 0.1, f"the {tool} to move")
    fox.rest()
    fox.screenshot(tool.lower())
    fox.settled(lambda: fox.key("Enter"), lambda: len(fox.session.selecting))
    points = selected_points(fox.session)
    assert points is not None
    middle = space.to_world(np.array(gizmo.position, dtype=np.float64))
    away = np.abs(points.double().numpy() - middle)
    reach = 0.4 / space.factor + 1e-6
    assert (np.linalg.norm(away, axis=1) if tool == "Ball" else away.max(1)).max() <= reach
    fox.key("Escape")


def test_a_mask_of_the_frame_selects_what_is_bright_in_it(fox: Window, tmp_path: Path):
    take(fox, "Look")
    camera = fox.viewer.project.scene.cameras[0]
    (x, y), _ = (value[0].tolist() for value in camera.project(torch.from_numpy(fox.head())[None].float()))
    rows, columns = np.mgrid[: camera.height, : camera.width]
    mask = np.where(np.hypot(columns + 0.5 - x, rows + 0.5 - y) < 20, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "head.png")
    Image.fromarray(mask[:, :100]).save(tmp_path / "part.png")

    def upload(name: str) -> None:
        with fox.page.expect_file_chooser() as chooser:
            fox.button("Upload a mask").click()
        chooser.value.set_files(tmp_path / name)

    fox.unfold("By a mask of the frame")
    fox.settled(lambda: upload("head.png"), lambda: len(fox.session.selecting))
    points = selected_points(fox.session)
    assert points is not None
    pixels, _ = camera.project(points.float())
    assert (np.linalg.norm(pixels.numpy() - [x, y], axis=1) < 23).mean() > 0.97
    fox.screenshot("masked")
    count = len(fox.session.selecting)
    upload("part.png")
    fox.page.get_by_text("take the mask of a whole frame").first.wait_for()
    assert len(fox.session.selecting) == count
    fox.page.get_by_text("By a mask of the frame", exact=True).first.click()


@pytest.mark.parametrize("tool", ["Part", "Colour", "Bone", "Object"])
def test_one_click_selects_more_than_is_under_it(fox: Window, tool: Tool):
    take(fox, tool)
    spot = fox.spot(fox.head())
    fox.settled(lambda: fox.page.mouse.click(*spot), lambda: len(fox.session.selecting))
    count, points = len(fox.session.selecting), selected_points(fox.session)
    assert points is not None
    if tool == "Object":
        assert count == 4000
    else:
        assert 5 < count < 4000
        assert np.linalg.norm(points.double().numpy() - fox.head(), axis=1).min() < 0.15
    fox.screenshot(f"select-{tool.lower()}")


def test_shift_adds_and_control_takes_away(fox: Window):
    take(fox, "Click")
    front, back = fox.head(), fox.centers()[fox.centers()[:, 0].argmin()]
    fox.settled(lambda: fox.page.mouse.click(*fox.spot(front)), lambda: len(fox.session.selecting))
    first = len(fox.session.selecting)
    fox.page.keyboard.down("Shift")
    fox.settled(lambda: fox.page.mouse.click(*fox.spot(back)), lambda: len(fox.session.selecting) > first)
    fox.page.keyboard.up("Shift")
    both = len(fox.session.selecting)
    fox.page.keyboard.down("Control")
    fox.settled(lambda: fox.page.mouse.click(*fox.spot(back)), lambda: len(fox.session.selecting) < both)
    fox.page.keyboard.up("Control")
    assert len(fox.session.selecting) == first


def test_handles_deform(fox: Window):
    project = fox.viewer.project
    fox.unfold("Deform")
    fox.session.selecting.clear()
    fox.button("Place handles").click()
    fox.page.get_by_text(HINTS["Handles"], exact=True).wait_for()
    time.sleep(0.3)
    fox.page.mouse.click(*fox.spot(fox.head()))
    gizmo = until(lambda: fox.session.client.scene.get_handle_by_name("/tools/handle_0"), "the handle")
    time.sleep(3.0)  # for the page to draw it: clicks before that are lost
    # A second place that stays where it is.
    fox.check("The next ones pin")
    until(lambda: list(fox.viewer.windows.values())[-1].bench.handles.pins, "the box to be ticked")
    time.sleep(2.0)
    pinned = ear(fox)
    fox.page.mouse.click(*fox.spot(pinned))
    until(lambda: fox.session.client.scene.get_handle_by_name("/tools/pins"), "the pin")
    time.sleep(0.5)
    space = fox.session.shared.space
    middle = space.to_world(np.array(gizmo.position, dtype=np.float64))
    tip = middle + np.array([0.0, 0.0, 0.2]) / space.factor
    up = tip + np.array([0.0, 0.0, 0.3]) / space.factor
    fox.drag(fox.spot(tip), fox.spot((tip + up) / 2), fox.spot(up))
    until(lambda: np.abs(space.to_world(np.array(gizmo.position)) - middle).max() > 0.05, "the handle to move")
    until(lambda: fox.session._previewed is not None, "what it would do")
    fox.rest()
    fox.screenshot("handles")
    fox.settled(fox.button("Apply", 0).click, lambda: len(project.stack) == 1)
    edit = project.stack.edits[0]
    assert edit.kind == "deform"
    assert len(edit.handles) == 2  # type: ignore[attr-defined]
    before, after = fox.centers(), project.view.layers[0].field.at(fox.session.playback.time).centers.double().numpy()
    moved = np.linalg.norm(after - before, axis=1)
    pulled = moved[np.linalg.norm(before - middle, axis=1) < 0.1]
    assert pulled.mean() > 0.05
    radius = 0.5 * fox.session.reach / space.factor  # of a handle
    assert moved[np.linalg.norm(before - pinned, axis=1) < radius].max() < 0.03
    fox.screenshot("deformed")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)
    fox.page.get_by_text("Deform", exact=True).first.click()


def test_paint_stays_where_it_was_put(fox: Window):
    project = fox.viewer.project
    take(fox, "Paint")
    x, y = fox.spot(fox.head())
    plain = fox.screenshot("unpainted")[round(y), round(x)]
    fox.settled(lambda: fox.drag((x - 30, y), (x, y), (x + 30, y)), lambda: len(project.stack) == 1)
    assert project.stack.edits[0].kind == "paint"
    fox.key("Escape")
    painted = fox.screenshot("painted")[round(y), round(x)]
    assert painted[2] - plain[2] > 40
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)


def test_a_known_length_gives_metres(fox: Window):
    project = fox.viewer.project
    fox.tab("Look")
    fox.unfold("Measure")
    fox.check("Measure by two clicks")
    fox.page.get_by_text("Click the first end.").wait_for()
    tail = fox.centers()[fox.centers()[:, 0].argmin()]
    for place in (fox.head(), tail):
        fox.page.mouse.click(*fox.spot(place))
        time.sleep(1.0)
    fox.screenshot("measured")
    fox.page.get_by_text("scene units (how many metres").wait_for()
    fox.fill("Known length (m)", "0.8")
    fox.button("The measured way is this long").click()
    metres = until(lambda: project.view.metres_per_unit, "the scale")
    length = float(np.linalg.norm(fox.head() - tail))
    assert metres == pytest.approx(0.8 / length, rel=0.15)
    fox.page.get_by_text("80.00 cm").wait_for()
    fox.screenshot("scaled")
    fox.check("Measure by two clicks")


def test_a_file_is_dropped_and_put_into_the_scene(fox: Window):
    project = fox.viewer.project
    content = base64.b64encode(trimesh.creation.box((0.4, 0.4, 0.4)).export(file_type="glb")).decode()
    drop = """(content) => {
        const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
        const carried = new DataTransfer();
        carried.items.add(new File([bytes], "crate.glb", { type: "model/gltf-binary" }));
        const where = document.querySelector("canvas");
        where.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
    }"""
    fox.tab("Edit")
    fox.page.evaluate(drop, content)
    until(lambda: fox.session.shared.uploads.names() == ("crate.glb",), "the file")
    fox.choose("What", "Insert")
    fox.page.get_by_text("Values", exact=True).wait_for()
    count = sum(len(layer.field) for layer in project.view.layers)
    fox.settled(fox.button("Apply", -1).click, lambda: len(project.stack) == 1)
    assert isinstance(project.stack.edits[0], Insert)
    assert [layer.name for layer in project.view.layers] == ["fox", "crate"]
    assert sum(len(layer.field) for layer in project.view.layers) > count
    fox.screenshot("inserted")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)


def test_a_snapshot_is_the_picture(fox: Window):
    fox.tab("Output")
    with fox.page.expect_download() as download:
        fox.button("Save a snapshot").click()
    image = np.asarray(Image.open(download.value.path()).convert("RGB"))
    box = fox.canvas()
    assert abs(image.shape[1] / image.shape[0] - box["width"] / box["height"]) < 0.02
    x, y = fox.spot(fox.head())
    scale = image.shape[1] / box["width"]
    red, _, blue = image[round(scale * (y - box["y"])), round(scale * (x - box["x"]))][:3].astype(int)
    assert red > blue + 25


def test_the_path_of_keys_is_previewed(fox: Window):
    project, session = fox.viewer.project, fox.session
    fox.tab("Output")
    fox.unfold("Camera keys")
    start = np.array(session.client.camera.position)
    fox.key("k")
    until(lambda: len(project.notes.keys) == 1, "the first key")
    box = fox.canvas()
    middle = (box["x"] + box["width"] / 2, box["y"] + 90)
    fox.drag(middle, (middle[0] - 140, middle[1]))
    fox.still()
    fox.fill("Seconds since the key before", "4")
    fox.key("k")
    until(lambda: len(project.notes.keys) == 2, "the second key")
    end = np.array(session.client.camera.position)
    far = np.linalg.norm(end - start)
    assert far > 0.1
    fox.button("Preview the path").click()

    def away() -> float:
        return float(np.linalg.norm(np.array(session.client.camera.position) - end))

    until(lambda: away() > 0.3 * far, "the camera to go back to the first key")
    until(lambda: away() < 0.1 * far, "the camera to come to the last one")
    fox.button("Preview the path").wait_for()
    fox.settled(lambda: fox.key("f"), lambda: True)
    fox.still()


def test_it_is_shared_as_a_page(fox: Window):
    fox.tab("Output")
    with fox.page.expect_download() as download:
        fox.button("Make a web page to share").click()
    page = Path(download.value.path()).read_text()
    assert download.value.suggested_filename.endswith(".html")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "http://" not in page.split("</head>")[0]


def test_another_browser_is_invited_once(fox: Window):
    fox.tab("Help")
    fox.button("Invite another browser").click()
    link = fox.page.locator('input[value*="http://"]').first.input_value()
    browser = fox.page.context.browser
    guests: list[Any] = []
    try:
        for expected in ("Timeline", None):
            guest = browser.new_context()
            guests.append(guest)
            page = guest.new_page()
            page.goto(link)
            if expected:
                page.get_by_role("tab", name=expected).wait_for(timeout=120_000)
                until(lambda: len(fox.viewer.sessions) == 2, "the guest's session")
                # Each has a clock and a camera of its own.
                mine, guests_own = (fox.viewer.sessions[key] for key in sorted(fox.viewer.sessions))
                guests_own.seek(0.5)
                assert mine.playback.time != guests_own.playback.time
            else:
                assert "Timeline" not in page.content()
    finally:
        for guest in guests:
            guest.close()
    until(lambda: len(fox.viewer.sessions) == 1, "the guest to go")
    fox.page.get_by_role("button", name="Close").last.click()


def test_no_page_failed_and_nothing_is_left(fox: Window):
    assert not fox.errors
    assert len(fox.viewer.project.stack) == 0
    folder = fox.viewer.project.folder
    assert folder is not None
    assert json.loads((folder / "scene.json").read_text())["format"]
    assert torch.isfinite(fox.viewer.project.view.layers[0].field.canonical.centers).all()
