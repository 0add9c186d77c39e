"""What pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d import Camera, InputError, rasterize
from recon4d.export import camera_paths, draw, draw_depths, prepare
from recon4d.export.bone_pictures import layer_bones
from recon4d.export.colors import depth_map, distinct_colors, parse_background
from recon4d.field import Field, IdentityWarp, Refined, ResidualWarp
from recon4d.scene import Layer, Scene
from tests.export.scenes import TIMES, blob, layered_scene, object_scene, ring

SCENE = object_scene()
LAYERED = layered_scene()


def pictures(scene: Scene, **options: object) -> np.ndarray:
    times = TIMES[::4].tolist()
    return np.stack(list(draw(prepare(scene, camera_paths.input_path(scene, times), times, **options))))


@pytest.mark.parametrize("scene", [SCENE, LAYERED], ids=["one layer", "layers"])
def test_colours_are_those_of_the_scene_rasterized(scene):
    shown = pictures(scene, background="ff8000")
    for picture, index in zip(shown, (0, 4, 8), strict=True):
        image = rasterize(
            scene.at(TIMES[index].item()), scene.cameras[index], background=torch.tensor([1.0, 128 / 255, 0.0])
        )
        expected = (image.color.clamp(0, 1) * 255).round().numpy()
        assert np.abs(picture - expected).max() <= 1


def test_colours_are_drawn_with_the_refined_surfels_and_normals_with_the_surface():
    (layer,) = SCENE.layers
    plain = layer.field
    refined = Refined(Refined.like(plain.canonical).rotations_wxyz, 0.3 * plain.canonical.scales)
    field = Field(plain.canonical, plain.ids, plain.warp, refined)
    scene = Scene(TIMES, SCENE.cameras, [Layer("blob", "object", field)])
    image = rasterize(field.appearance_at(0.0), scene.cameras[0], background=torch.ones(3))
    expected = (image.color.clamp(0, 1) * 255).round().numpy()
    assert np.abs(pictures(scene)[0] - expected).max() <= 1
    assert np.abs(pictures(scene).astype(int) - pictures(SCENE)).max() > 30
    np.testing.assert_array_equal(pictures(scene, what="normal"), pictures(SCENE, what="normal"))


def test_drawing_that_is_left_unfinished_leaves_gradients_on():
    times = TIMES[::4].tolist()
    unfinished = draw(prepare(SCENE, camera_paths.input_path(SCENE, times), times))
    next(unfinished)
    assert torch.is_grad_enabled()
    unfinished.close()


def test_only_the_named_layers_are_drawn():
    alone = pictures(LAYERED, layers=["blob"])
    np.testing.assert_array_equal(alone, pictures(SCENE))
    with pytest.raises(InputError, match="'cat'"):
        pictures(LAYERED, layers=["cat"])


def test_depth_has_one_range_for_the_clip_and_falls_in_lightness():
    times = [0.0, 0.5, 1.0]
    cameras = camera_paths.dolly(SCENE, times)
    shot = prepare(SCENE, cameras, times, what="depth", background="black")
    near, far = shot.depth_range
    depths = list(draw_depths(shot))
    every = np.concatenate([depth[depth > 0] for depth in depths])
    assert near == pytest.approx(np.quantile(every, 0.01), abs=0.12)
    assert far == pytest.approx(np.quantile(every, 0.99), abs=0.12)
    light = np.stack(list(draw(shot))).astype(float) @ [0.2126, 0.7152, 0.0722]
    solid = np.stack(list(draw(prepare(SCENE, cameras, times, what="alpha"))))[..., 0] == 255
    depth = np.stack(depths)
    assert np.corrcoef(depth[solid], light[solid])[0, 1] < -0.95
    assert np.all(np.diff(depth_map() @ [0.2126, 0.7152, 0.0722]) < 0)
    given = prepare(SCENE, cameras, times, what="depth", depth_range=(1.0, 9.0))
    assert given.depth_range == (1.0, 9.0)


def test_depth_of_nothing_is_an_error_and_colour_of_nothing_is_background():
    away = [Camera.look_at([4.0, 0, 0], [8.0, 0, 0], width=32, height=32)]
    with pytest.raises(InputError, match="depth"):
        prepare(SCENE, away, [0.0], what="depth")
    (picture,) = draw(prepare(SCENE, away, [0.0], background="102030"))
    assert (picture == [0x10, 0x20, 0x30]).all()


def test_normals_are_coloured_in_the_camera_frame():
    ball = blob(3000, 1.0, (0.5, 0.5, 0.5))
    scene = Scene(TIMES[:1], ring()[:1], [Layer("ball", "object", Field(ball, torch.arange(3000), IdentityWarp()))])
    camera = Camera.look_at([6.0, 0, 0], fov_y_degrees=25, width=61, height=61)
    (picture,) = draw(prepare(scene, [camera], [0.0], what="normal", background="black"))
    values = picture.astype(float) / 127.5 - 1
    assert values[30, 30] @ np.array([0, 0, 1.0]) > 0.95  # towards the camera is blue
    columns = np.flatnonzero(picture[30].any(-1))
    assert values[30, columns[-4], 0] > 0.7  # right is red
    assert values[30, columns[3], 0] < -0.7
    rows = np.flatnonzero(picture[:, 30].any(-1))
    assert values[rows[3], 30, 1] > 0.7  # up is green
    assert values[rows[-4], 30, 1] < -0.7


def test_coverage_is_grey():
    shown = pictures(SCENE, what="alpha", background="ff0000")
    assert (shown == shown[..., :1]).all()
    assert shown[:, 0, 0].max() == 0
    assert shown.max() == 255


def test_transparent_pictures_hold_straight_colours():
    plain, clear = pictures(SCENE), pictures(SCENE, background="transparent")
    assert clear.shape[-1] == 4
    color, alpha = clear[..., :3].astype(float), clear[..., 3:].astype(float) / 255
    assert np.abs(color * alpha + 255 * (1 - alpha) - plain).max() <= 2
    np.testing.assert_array_equal(clear[..., 3], pictures(SCENE, what="alpha")[..., 0])


def test_supersampling_averages():
    large = pictures(SCENE, size=(128, 96)).astype(float)
    means = large.reshape(3, 48, 2, 64, 2, 3).mean((2, 4))
    small = pictures(SCENE, supersample=2)
    assert small.shape == (3, 48, 64, 3)
    assert np.abs(small - means).max() <= 1


def test_bones_colour_what_they_move():
    (layer,) = SCENE.layers
    bones = layer_bones(layer, 0)
    colors = distinct_colors(2)
    left, right = layer.field.canonical.centers[:, 0].argmin(), layer.field.canonical.centers[:, 0].argmax()
    np.testing.assert_allclose(bones.surfel_colors[left].numpy(), colors[0], atol=1e-6)
    np.testing.assert_allclose(bones.surfel_colors[right].numpy(), colors[1], atol=1e-6)
    assert bones.links.tolist() == [[0, 1]]
    np.testing.assert_allclose(bones.places_at(1.0), [[-0.3, 0, 0], [0.3, 0, 0.4]], atol=1e-3)


def test_bones_are_drawn_where_they_are():
    shown = pictures(SCENE, what="bones", size=(256, 192))
    camera = camera_paths.input_path(SCENE, [1.0])[0].resized(256, 192)
    pixels, _ = camera.project(torch.tensor([[-0.3, 0, 0], [0.3, 0, 0.4]], dtype=torch.float64))
    for (x, y), color in zip(pixels.tolist(), distinct_colors(2), strict=True):
        np.testing.assert_allclose(shown[-1][int(y), int(x)], 255 * color, atol=2)


def test_every_kind_of_warp_has_a_picture_of_bones():
    shown = pictures(LAYERED, what="bones", background="black")
    assert shown.shape == (3, 48, 64, 3)
    # The wall, which nothing moves, is grey all over.
    assert (shown[0, 0] == shown[0, 0, :, :1]).all()
    assert shown[0, 0].min() > 50
    ball = layer_bones(LAYERED.layers[1], 2)
    assert ball.places_at(0.5)[0] == pytest.approx([0.0, -1.2, 0.0], abs=0.05)


def test_bones_beneath_a_residual_are_drawn_as_those_of_the_base():
    for layer in (SCENE.layers[0], LAYERED.layers[1]):
        field = layer.field
        grid = torch.ones(4, 2, 2, 2, 3)
        warp = ResidualWarp(field.warp, grid, -torch.ones(3), torch.ones(3), 0.0, 1.0)
        displaced = Layer(layer.name, layer.kind, Field(field.canonical, field.ids, warp))
        plain, found = layer_bones(layer, 1), layer_bones(displaced, 1)
        assert len(found.bones) > 0
        for name in ("bones", "bone_colors", "links", "surfel_colors"):
            np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
        np.testing.assert_array_equal(found.places_at(0.5), plain.places_at(0.5))


def test_a_bone_behind_the_camera_is_left_out():
    camera = Camera.look_at([0.0, 0, 0.0], [4.0, 0, 0], width=32, height=32)
    (picture,) = draw(prepare(SCENE, [camera], [0.0], what="bones"))
    assert picture.shape == (32, 32, 3)


def test_batches_do_not_change_pictures(monkeypatch):
    from recon4d.export import pictures as module

    together = pictures(SCENE)
    monkeypatch.setattr(module, "_BATCH_VIEWS", 1)
    np.testing.assert_array_equal(together, pictures(SCENE))


def test_progress_counts_every_picture():
    told: list[tuple[int, int]] = []
    times = TIMES.tolist()
    list(draw(prepare(SCENE, SCENE.cameras, times), lambda done, total: told.append((done, total))))
    assert told == [(i + 1, 9) for i in range(9)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"what": "heat"}, "what"),
        ({"times": [2.0]}, "times"),
        ({"times": []}, "cameras"),
        ({"supersample": 0}, "supersample"),
        ({"supersample": 9}, "supersample"),
        ({"size": (0, 10)}, "size"),
        ({"size": (10_000, 10), "supersample": 2}, "size"),
        ({"size": (9000, 9000)}, "million"),
        ({"size": (2500, 2500), "supersample": 4}, "million"),
        ({"what": "depth", "depth_range": (3.0, 1.0)}, "depth_range"),
        ({"background": "plaid"}, "background"),
        ({"background": "12345"}, "background"),
    ],
)
def test_what_cannot_be_is_refused(options, named):
    with pytest.raises(InputError, match=named):
        prepare(SCENE, SCENE.cameras[:1], **({"times": [0.0]} | options))


def test_layers_whose_colours_do_not_go_together_are_refused():
    surfels = blob(10, 0.3, (1.0, 0.0, 0.0)).replace(sh=None, features=torch.rand(10, 5))
    odd = Layer("odd", "object", Field(surfels, torch.arange(10), IdentityWarp()))
    scene = Scene(TIMES, SCENE.cameras, [*SCENE.layers, odd])
    with pytest.raises(InputError, match="5 features"):
        pictures(scene)
    assert pictures(scene, what="normal").shape == (3, 48, 64, 3)


def test_named_backgrounds():
    assert parse_background("white") == (1, 1, 1)
    assert parse_background("#0080FF") == (0, 128 / 255, 1)
    assert parse_background("transparent") is None
