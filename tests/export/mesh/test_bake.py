"""Colours from pictures: what a camera sees ends up where it belongs, and nothing of what is in front or behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recon4d.core import Camera, InputError
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.data import write_png
from recon4d.export.mesh.bake import bake, score, surfel_colors
from recon4d.export.mesh.canonical import MeshSettings, canonical_mesh
from recon4d.export.mesh.canvas import vertex_points
from recon4d.export.mesh.motion import anchor
from recon4d.export.mesh.painting import paint
from recon4d.export.mesh.photos import Photo, find_photos
from recon4d.export.mesh.unwrap import SurfacePoints
from recon4d.field import Field, IdentityWarp
from recon4d.scene import Layer, Scene
from tests.export.scenes import TIMES, blob, object_scene, ring

SIDE = 96


def _striped(count: int = 1500) -> Field:
    """A ball, red where x > 0 and green elsewhere."""
    ball = blob(count, 1.0, (0.0, 0.0, 0.0))
    colors = torch.where(ball.centers[:, :1] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.8, 0.1]))
    return Field(ball.replace(sh=coefficients_from_color(colors)), torch.arange(count), IdentityWarp())


@pytest.fixture(scope="module")
def striped():
    field = _striped()
    mesh = canonical_mesh(field.canonical, MeshSettings(800))
    return field, mesh, anchor(field, mesh)


def _photo(camera: Camera, color, shares=1.0) -> Photo:
    image = np.broadcast_to(np.asarray(color, np.float32), (camera.height, camera.width, 3)).copy()
    return Photo(0, 0.0, camera, image, np.full((camera.height, camera.width, 1), shares, np.float32))


def _baked(striped, photos):
    _, mesh, _ = striped
    points = vertex_points(mesh)
    grey = np.full((len(points.face), 3), 0.5, np.float32)
    places = mesh.vertices.astype(np.float32)
    return bake(points, mesh.faces, lambda time: places, photos, 0, grey)


def _look(eye) -> Camera:
    return Camera.look_at(eye, up=(0, 0, 1), width=SIDE, height=SIDE)


def test_only_what_a_camera_sees_takes_its_colour(striped):
    mesh = striped[1]
    baked = _baked(striped, [_photo(_look([4.0, 0, 0]), (1, 0, 0)), _photo(_look([-4.0, 0, 0]), (0, 0, 1))])
    right, left = mesh.vertices[:, 0] > 0.7, mesh.vertices[:, 0] < -0.7
    np.testing.assert_allclose(baked.colors[right], np.tile([1, 0, 0], (right.sum(), 1)), atol=0.01)
    np.testing.assert_allclose(baked.colors[left], np.tile([0, 0, 1], (left.sum(), 1)), atol=0.01)
    rim = np.abs(mesh.vertices[:, 0]) < 0.05
    np.testing.assert_allclose(baked.colors[rim], 0.5, atol=0.01)
    assert 0.3 < baked.seen < 0.8


def test_pixels_of_other_layers_count_for_nothing(striped):
    baked = _baked(striped, [_photo(_look([4.0, 0, 0]), (1, 0, 0), shares=0.4)])
    assert baked.seen == 0
    np.testing.assert_allclose(baked.colors, 0.5)


def test_one_picture_that_disagrees_is_outvoted(striped):
    mesh = striped[1]
    photos = [_photo(_look([4.0, 0.1 * i, 0]), (0.9, 0.9, 0.1)) for i in range(5)]
    baked = _baked(striped, [*photos, _photo(_look([4.0, 0, 0.1]), (0, 0, 1))])
    right = mesh.vertices[:, 0] > 0.7
    np.testing.assert_allclose(baked.colors[right], np.tile([0.9, 0.9, 0.1], (right.sum(), 1)), atol=0.03)


def test_a_picture_sees_nothing_through_the_surface(striped):
    mesh = striped[1]
    baked = _baked(striped, [_photo(_look([4.0, 0, 0]), (1, 0, 0))])
    behind = mesh.vertices[:, 0] < 0.1
    np.testing.assert_allclose(baked.colors[behind], 0.5, atol=1e-6)


def test_surfels_lend_their_colours(striped):
    field, mesh, anchors = striped
    colors = surfel_colors(field.canonical, anchors, mesh)
    for side, color in ((1, [0.9, 0.1, 0.1]), (-1, [0.1, 0.8, 0.1])):
        mine = colors[side * mesh.vertices[:, 0] > 0.3]
        assert len(mine) > 100
        np.testing.assert_allclose(mine, np.tile(color, (len(mine), 1)), atol=0.02)


def test_the_score_is_the_psnr_of_what_is_drawn(striped):
    _, mesh, _ = striped
    places = mesh.vertices.astype(np.float32)

    def grey(where: SurfacePoints) -> np.ndarray:
        return np.full((len(where.face), 3), 0.5, np.float32)

    photo = _photo(_look([4.0, 0, 0]), (0.6, 0.6, 0.6))
    told = score(mesh.faces, lambda time: places, grey, [photo], 0)
    assert told.pictures == 1
    assert told.psnr == pytest.approx(20.0, abs=0.01)


@pytest.mark.parametrize("texture", [128, "vertex"])
def test_a_painted_mesh_looks_like_the_scene(texture):
    field = _striped(3000)
    # Colours that change as gently as vertices lie apart.
    soft = coefficients_from_color(0.5 + 0.4 * field.canonical.centers)
    field = dataclasses.replace(field, canonical=field.canonical.replace(sh=soft))
    scene = Scene(TIMES, ring(360, height=0.0, size=(SIDE, SIDE)), [Layer("ball", "object", field)])
    mesh = canonical_mesh(field.canonical, MeshSettings(3000))
    photos, note = find_photos(scene, None, None)
    assert "not at hand" in note
    painted = paint(scene, 0, mesh, anchor(field, mesh), photos, texture, lambda done, total: None)
    assert painted.psnr > 26
    assert (painted.texture is None) == (texture == "vertex")


def test_input_frames_are_found_beside_the_scene_and_by_name(tmp_path):
    scene = object_scene()
    frames = tmp_path / "clip"
    frames.mkdir()
    for i in range(len(TIMES)):
        write_png(frames / f"{i:03d}.png", np.full((48, 64, 3), 20 * i, np.uint8))
    known = dataclasses.replace(
        scene, frame_times=torch.arange(len(TIMES), dtype=torch.float64) / 30, provenance={"input": {"name": "clip"}}
    )
    source, note = find_photos(known, None, tmp_path / "a.r4d")
    assert note is None
    assert source.name == "frames of clip"
    (photo,) = source.photos([3])
    np.testing.assert_allclose(photo.color, 60 / 255, atol=1e-6)
    assert photo.shares.shape == (48, 64, 1)
    assert find_photos(known, None, tmp_path / "elsewhere" / "a.r4d")[0].views is None
    with pytest.raises(InputError, match="pictures at the 9 times of the scene"):
        find_photos(dataclasses.replace(scene, frame_times=TIMES * 100), frames, None)
