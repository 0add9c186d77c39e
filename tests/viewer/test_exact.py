"""The exact picture: what it shows, and that it is the picture that exports draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d.core import Camera
from recon4d.export import draw as draw_export
from recon4d.export import prepare
from recon4d.scene import Scene
from recon4d.viewer.confidence import ViewConfidence, describe, surfel_confidence
from recon4d.viewer.exact import SELECTED, draw
from recon4d.viewer.look import MODES, Look

CAMERA = Camera.look_at([3.0, -2.5, 1.2], [0.0, 0.0, 0.0], fov_y_degrees=40, width=120, height=90)


@pytest.mark.parametrize(("mode", "what"), [("Colour", "color"), ("Normals", "normal"), ("Bones", "bones")])
def test_it_is_the_picture_of_an_export(scene: Scene, mode: str, what: str):
    background = (0.5, 0.5, 0.5)
    picture = draw(scene, 0.4, CAMERA, Look(mode=mode, background=background))
    shot = prepare(scene, [CAMERA], [0.4], what=what, background="grey")
    true = next(draw_export(shot)).astype(int)
    off = np.abs(picture.rgb.astype(int) - true)
    # Bones are shaded a little differently.
    assert off.max() <= (40 if what == "bones" else 1)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_draws_something_of_its_own(scene: Scene, mode: str):
    picture = draw(scene, 0.4, CAMERA, Look(mode=mode), confidence=surfel_confidence(scene))
    assert picture.rgb.shape == (90, 120, 3)
    assert picture.rgb.std() > 5


def test_depth_is_that_of_the_surface(scene: Scene):
    objects = Scene(scene.frame_times, scene.cameras, scene.layers[:1])
    depth = draw(objects, 0.0, CAMERA, Look()).depth
    assert np.isinf(depth[0, 0])
    distance = float(CAMERA.center_in_world.norm())
    assert depth[45, 60] == pytest.approx(distance - 0.7, abs=0.05)


def test_an_empty_scene_is_background(scene: Scene):
    picture = draw(Scene(scene.frame_times, scene.cameras, []), 0.0, CAMERA, Look(background=(1.0, 0.0, 0.5)))
    assert (picture.rgb == [255, 0, 128]).all()
    assert np.isinf(picture.depth).all()


def test_selected_surfels_are_marked_and_others_are_not(scene: Scene):
    objects = Scene(scene.frame_times, scene.cameras, scene.layers[:1])
    field = objects.layers[0].field
    right = field.canonical.centers[:, 0] > 0
    plain, marked = (draw(objects, 0.0, CAMERA, Look(), selected=m).rgb.astype(int) for m in (None, {"blob": right}))
    changed = np.abs(plain - marked).max(-1) > 8
    assert 0.1 < changed.mean() / (np.abs(plain - plain[0, 0]).max(-1) > 8).mean() < 0.95
    outline = np.abs(marked - np.rint(255 * np.array(SELECTED))).max(-1) <= 1
    assert outline.sum() > 20


def test_a_mask_of_another_length_marks_nothing(scene: Scene):
    plain = draw(scene, 0.0, CAMERA, Look()).rgb
    stale = draw(scene, 0.0, CAMERA, Look(), selected={"blob": torch.ones(3, dtype=torch.bool)}).rgb
    assert (plain == stale).all()


def test_brightness_and_lamp_change_colours_only(scene: Scene):
    plain = draw(scene, 0.0, CAMERA, Look())
    for look in (Look(brightness=1.5), Look(lamp=1.0)):
        other = draw(scene, 0.0, CAMERA, look)
        assert (other.rgb != plain.rgb).any()
        assert (other.depth == plain.depth).all()


def test_guesses_are_tinted_where_no_camera_was(scene: Scene):
    """All cameras stand on one side: the other side is a guess."""
    one_side = Scene(scene.frame_times, [scene.cameras[0]] * len(scene.cameras), scene.layers[:1])
    confidence = surfel_confidence(one_side)
    front = scene.cameras[0].resized(120, 90)
    away = -scene.cameras[0].center_in_world
    behind = Camera.look_at(away + torch.tensor([0.0, 0.0, 2.0]), fov_y_degrees=40, width=120, height=90)
    shares = []
    for camera in (front, behind):
        plain, tinted = (
            draw(one_side, 0.0, camera, Look(guesses=guesses), confidence=confidence).rgb.astype(int)
            for guesses in (False, True)
        )
        solid = np.isfinite(draw(one_side, 0.0, camera, Look()).depth)
        shares.append((np.abs(plain - tinted).max(-1) > 30)[solid].mean())
    assert shares[0] < 0.25
    assert shares[1] > 0.75


def test_how_sure_a_view_is(scene: Scene):
    views = ViewConfidence.of(scene)
    own = scene.cameras[0].center_in_world.double().numpy()
    assert views.degrees(own, 0.0) == pytest.approx(0, abs=1)
    below = np.array([0.0, 0.0, -4.0])
    degrees = views.degrees(below, 0.0)
    assert degrees is not None
    assert degrees > 60
    assert describe(degrees).startswith("A guess")
    assert describe(5.0).startswith("Seen")
    assert describe(40.0).startswith("Partly")
    assert ViewConfidence.of(Scene(scene.frame_times, scene.cameras, [])).degrees(own, 0.0) is None
