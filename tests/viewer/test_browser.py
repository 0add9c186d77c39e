"""The viewer in a real browser, by hand: looking, selecting, editing, filming, exporting, and coming back.

The tests of this file share one browser and run in their order; each leaves the scene as it found it, or says so.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from recon4d.core import Camera
from recon4d.data import scan_video, write_png
from recon4d.editors import All, load_stack
from recon4d.viewer import exact
from recon4d.viewer.moving import selected_points
from tests.viewer.browser import HEIGHT, PICTURES, WIDTH, Window, until


def test_it_opens_with_a_picture(fox: Window):
    pixels = fox.screenshot("open")
    x, y = (round(v) for v in fox.spot(fox.head()))
    red, green, blue = pixels[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
    assert red > blue + 25, (red, green, blue)
    assert not fox.errors


def test_there_is_a_picture_before_the_program_of_the_page_runs(fox: Window):
    held = fox.page.context.browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        page = held.new_page()
        # Without the program that the page unpacks, nothing but the page itself can show something.
        page.add_init_script("globalThis.DecompressionStream = undefined")
        page.goto(fox.viewer.link)
        page.wait_for_url("**/")
        page.locator("#poster").wait_for()
        page.screenshot(path=PICTURES / "poster.png")
        pixels = np.asarray(Image.open(PICTURES / "poster.png").convert("RGB")).astype(int)
    finally:
        held.close()
    session = fox.session
    page_view = session.shared.space.page_camera(session.project.scene.cameras[0])
    camera = Camera.look_at(
        *(session.shared.space.to_world(place).tolist() for place in (page_view.position, page_view.look_at)),
        up=page_view.up.tolist(),
        fov_y_degrees=np.degrees(page_view.fov),
        width=WIDTH,
        height=HEIGHT,
    )
    own = exact.draw(session.project.view, 0.0, camera, session.look).rgb.astype(int)
    assert np.abs(pixels - own).mean() < 3
    assert fox.page.locator("#poster").count() == 0  # it has given way to the exact picture


def test_it_plays_pauses_and_scrubs(fox: Window):
    clock = fox.session.playback
    fox.key("Space")
    until(lambda: clock.playing and clock.frame > 3, "playing")
    fox.key("Space")
    until(lambda: not clock.playing, "the pause")
    fox.settled(lambda: fox.fill("Frame", "12"), lambda: clock.frame == 12)
    there = fox.screenshot("scrubbed")
    fox.settled(lambda: fox.key("ArrowRight"), lambda: clock.frame == 13)
    fox.settled(lambda: fox.fill("Frame", "0"), lambda: clock.frame == 0)
    back = fox.screenshot("first")
    assert np.abs(there - back)[200:600, 400:900].max() > 60


def test_the_camera_turns(fox: Window):
    session = fox.session
    before = np.array(session.client.camera.position)
    box = fox.canvas()
    middle = (box["x"] + box["width"] / 2, box["y"] + 90)

    def away() -> float:
        return float(np.linalg.norm(np.array(session.client.camera.position) - before))

    fox.settled(lambda: fox.drag(middle, (middle[0] + 120, middle[1] + 10)), lambda: away() > 0.2)
    fox.still()
    fox.screenshot("turned")
    fox.settled(lambda: fox.key("f"), lambda: away() < 0.05)
    fox.still()
    assert away() < 0.05


def test_a_click_selects_what_is_there(fox: Window):
    fox.tool("q", "Click")
    target = fox.head()
    fox.settled(lambda: fox.page.mouse.click(*fox.spot(target)), lambda: len(fox.session.selecting))
    points = selected_points(fox.session)
    assert points is not None
    assert np.linalg.norm(points.double().numpy().mean(0) - target) < 0.3
    fox.screenshot("clicked")


def test_a_rectangle_selects_what_is_inside(fox: Window):
    fox.tool("w", "Rectangle")
    fox.session.selecting.clear()
    x, y = fox.spot(fox.head())
    fox.settled(lambda: fox.drag((x - 60, y - 70), (x, y), (x + 60, y + 60)), lambda: len(fox.session.selecting) > 50)
    points = selected_points(fox.session)
    assert points is not None
    places = fox.spots(points.double().numpy())
    assert (np.abs(places - [x, y - 5]) < [75, 80]).mean() > 0.95
    fox.screenshot("rectangle")


def test_a_brush_selects_what_it_strokes(fox: Window):
    fox.tool("b", "Brush")
    fox.session.selecting.clear()
    x, y = fox.spot(fox.head())
    fox.settled(lambda: fox.drag((x - 40, y - 10), (x, y), (x + 40, y)), lambda: len(fox.session.selecting) > 20)
    assert np.linalg.norm(selected_points(fox.session).double().numpy().mean(0) - fox.head()) < 0.4  # type: ignore[union-attr]
    fox.screenshot("brushed")
    fox.tool("v", "Look")


def test_recolour_delete_undo_redo(fox: Window):
    project = fox.viewer.project
    plain = fox.screenshot("before")
    fox.settled(fox.button("Apply", -1).click, lambda: len(project.stack) == 1)
    assert project.stack.edits[0].kind == "recolor"
    fox.session.selecting.clear()
    fox.rest()
    blue = fox.screenshot("recoloured")
    x, y = (round(v) for v in fox.spot(fox.head()))
    assert blue[y, x, 2] - plain[y, x, 2] > 40
    fox.session.selecting.back()
    count = len(project.view.layers[0].field)
    fox.settled(lambda: fox.key("Delete"), lambda: len(project.view.layers[0].field) < count)
    fox.screenshot("deleted")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.view.layers[0].field) == count)
    fox.settled(lambda: fox.key("Control+Shift+z"), lambda: len(project.view.layers[0].field) < count)
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 1)
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)
    fox.session.selecting.clear()
    fox.rest()
    until(lambda: np.abs(fox.screenshot("undone")[y, x] - plain_head(fox)).max() < 12, "the plain head", 20)


def plain_head(fox: Window) -> np.ndarray:
    """The colour that the head had when the page was opened, by our own picture."""
    session = fox.session
    box, (x, y) = fox.canvas(), fox.spot(fox.head())
    camera = session.camera(round(box["width"]), round(box["height"]))
    picture = exact.draw(session.project.scene, session.playback.time, camera, session.look)
    found: np.ndarray = picture.rgb[round(y - box["y"]), round(x - box["x"])].astype(int)
    return found


def test_the_gizmo_moves_a_selection(fox: Window):
    project, session = fox.viewer.project, fox.session
    fox.settled(lambda: fox.key("a"), lambda: len(session.selecting) == 4000)
    fox.key("g")
    gizmo = until(lambda: session.client.scene.get_handle_by_name("/tools/gizmo"), "the gizmo")
    time.sleep(1.0)
    fox.screenshot("gizmo")
    space = session.shared.space
    # The upright arrow is drawn above the middle.
    middle = space.to_world(np.asarray(gizmo.position, dtype=np.float64))
    tip = middle + np.array([0.0, 0.0, 0.36]) / space.factor
    target = tip + np.array([0.0, 0.0, 0.3]) / space.factor
    fox.drag(fox.spot(tip), fox.spot((tip + target) / 2), fox.spot(target))
    edit = until(lambda: project.stack.edits and project.stack.edits[-1], "the move")
    assert edit.kind == "transform"
    x, y, z = edit.translate  # type: ignore[attr-defined]
    assert z > 0.1
    assert abs(x) + abs(y) < 0.02
    fox.rest()
    fox.screenshot("moved")
    fox.key("Escape")
    fox.settled(lambda: fox.key("Control+z"), lambda: len(project.stack) == 0)


def test_layers_are_hidden_and_shown(fox: Window):
    project = fox.viewer.project
    fox.button("Hide").click()
    until(lambda: not project.view.layers, "the layer to go")
    fox.screenshot("hidden")
    fox.button("Show").click()
    until(lambda: project.view.layers, "the layer to come back")
    assert len(project.stack) == 0


def test_splats_look_like_our_own_picture(fox: Window):
    """What is shown while the camera moves against what is shown when it rests, in the subject."""
    session = fox.session
    session.set_look(exact=False)
    session.selecting.clear()
    time.sleep(1.0)
    width, height = session.client.camera.image_width, session.client.camera.image_height
    page, background = session.client.camera, np.array(session.look.background)
    render = session.client.get_render(
        height, width, wxyz=page.wxyz, position=page.position, fov=page.fov, transport_format="png", timeout=120
    )
    camera = session.shared.space.camera(page.wxyz, page.position, page.fov, width=width, height=height)
    picture = exact.draw(session.project.view, session.playback.time, camera, session.look)
    session.set_look(exact=True)
    fox.rest()
    alpha = render[..., 3:] / 255
    splats = render[..., :3] / 255 * alpha + (1 - alpha) * background if render.shape[2] == 4 else render / 255
    subject = np.isfinite(picture.depth)
    error = ((splats - picture.rgb / 255)[subject] ** 2).mean()
    psnr = -10 * np.log10(error)
    both = np.concatenate([splats, picture.rgb / 255], axis=1)
    write_png(PICTURES / "splats-and-exact.png", np.rint(255 * both.clip(0, 1)).astype(np.uint8))
    print(f"splats against our own rasterizer, in the subject: {psnr:.1f} dB")
    assert psnr >= 28


def test_keys_make_a_film(fox: Window):
    project = fox.viewer.project
    fox.key("k")
    until(lambda: len(project.notes.keys) == 1, "the first key")
    box = fox.canvas()
    middle = (box["x"] + box["width"] / 2, box["y"] + 90)
    before = np.array(fox.session.client.camera.position)
    fox.settled(
        lambda: fox.drag(middle, (middle[0] - 100, middle[1])),
        lambda: np.linalg.norm(np.array(fox.session.client.camera.position) - before) > 0.1,
    )
    fox.still()
    fox.key("k")
    until(lambda: len(project.notes.keys) == 2, "the second key")
    fox.tab("Output")
    with fox.page.expect_download() as download:
        fox.button("Render the film").click()
    film = Path(download.value.path())
    assert download.value.suggested_filename == "my-camera-keys.mp4"
    assert len(scan_video(film).times) == 25
    fox.screenshot("film")


def test_it_exports(fox: Window):
    with fox.page.expect_download() as download:
        fox.button("Export").click()
    content = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename == "scene-glb.glb"
    assert content[:4] == b"glTF"
    folder = fox.viewer.project.folder
    assert folder is not None
    assert (folder / "exports" / "scene-glb.glb").read_bytes() == content
    fox.screenshot("exported")


def test_everything_is_there_again_after_a_reload(fox: Window):
    project = fox.viewer.project
    fox.session.selecting.take(All())
    fox.tab("Edit")
    fox.button("Apply", -1).click()
    until(lambda: len(project.stack) == 1, "the edit")
    before = fox.session
    fox.page.reload()
    until(lambda: fox.session is not before, "a new session")
    fox.page.get_by_role("tab", name="Timeline").wait_for()
    fox.ready()
    fox.tab("History")
    fox.page.get_by_text("1 edit").wait_for()
    pixels = fox.screenshot("reloaded")
    x, y = (round(v) for v in fox.spot(fox.head()))
    assert pixels[y, x, 2] > pixels[y, x, 0]
    assert project.folder is not None
    assert len(load_stack(project.folder)) == 1
    assert len(project.notes.keys) == 2


def test_no_page_failed(fox: Window):
    assert not fox.errors
