"""Views: what is loaded has the documented range, size and meaning; data sets have the documented order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import Camera, InputError
from recon4d.data.dataset import make_dataset, normalized_times
from recon4d.data.images import write_array, write_png
from recon4d.data.lens import Lens, undistort
from recon4d.data.video import read_video, write_video
from recon4d.data.view import View
from tests.data.examples import HEIGHT, WIDTH, Shelf, picture, random_camera


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


def test_alpha_is_laid_over_the_background(shelf):
    view = shelf.view("a.png", 100, alpha=True)
    image = view.load_image()
    np.testing.assert_array_equal(image, picture(100, alpha=True))
    rgb = view.load_rgb((0.25, 0.5, 1.0))
    assert rgb.dtype == np.float32
    np.testing.assert_array_equal(
        rgb[:, : WIDTH // 2], np.broadcast_to(np.float32((0.25, 0.5, 1.0)), (HEIGHT, WIDTH // 2, 3))
    )
    np.testing.assert_allclose(rgb[:, WIDTH // 2 :], picture(100)[:, WIDTH // 2 :] / 255, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(view.load_mask(), np.arange(WIDTH)[None].repeat(HEIGHT, 0) >= WIDTH // 2)
    assert shelf.view("b.png", 100).load_mask() is None


def test_gray_and_deep_images(shelf):
    write_png(shelf.folder / "gray.png", np.full((4, 5), 51, np.uint8))
    write_png(shelf.folder / "deep.png", np.full((4, 5, 3), 13107, np.uint16))
    for name in ("gray.png", "deep.png"):
        view = View(name=name, split="train", image_path=shelf.folder / name)
        np.testing.assert_allclose(view.load_rgb(), np.full((4, 5, 3), 0.2), rtol=1e-6)
        assert view.load_image().shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 255], [255, 0]], np.uint8), [[0, 1], [1, 0]]),
        (np.array([[0, 1], [1, 0]], np.uint8), [[0, 1], [1, 0]]),
        (np.array([[0, 128], [255, 64]], np.uint8), [[0, 128 / 255], [1, 64 / 255]]),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2))),
        (np.full((2, 2), 255, np.uint8), np.ones((2, 2))),
        (np.array([[[0, 0, 0], [128, 0, 0]]], np.uint8), [[0, 1]]),
        (np.array([[[255, 255, 255, 0], [255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8), [[0, 1, 0]]),
        (np.array([[0, 65535, 32768]], np.uint16), [[0, 1, 32768 / 65535]]),
    ],
)
def test_masks(shelf, pixels, expected):
    write_png(shelf.folder / "mask.png", pixels)
    view = shelf.view("a.png", mask_path=shelf.folder / "mask.png")
    mask = view.load_mask()
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, expected, rtol=1e-6)


def test_depth_from_arrays_and_images(shelf):
    depth = np.array([[1.5, np.nan], [-1, np.inf]], np.float32)
    write_array(shelf.folder / "depth.npy", depth)
    view = shelf.view("a.png", depth_path=shelf.folder / "depth.npy", depth_scale=2.0)
    np.testing.assert_array_equal(view.load_depth(), [[3, 0], [0, 0]])
    write_array(shelf.folder / "depth.npy", depth[:, :, None].astype(np.float16))
    np.testing.assert_array_equal(view.load_depth(), [[3, 0], [0, 0]])
    write_png(shelf.folder / "depth.png", np.array([[0, 1500]], np.uint16))
    view = shelf.view("a.png", depth_path=shelf.folder / "depth.png", depth_scale=1e-3)
    np.testing.assert_allclose(view.load_depth(), [[0, 1.5]], rtol=1e-6)
    assert shelf.view("a.png").load_depth() is None


def test_normals_from_arrays_and_images(shelf):
    normals = np.array([[[0, 0, -1], [0.6, 0.8, 0], [0, 0, 0]]], np.float32)
    write_array(shelf.folder / "n.npy", normals)
    assert np.array_equal(shelf.view("a.png", normal_path=shelf.folder / "n.npy").load_normal(), normals)
    for dtype, tolerance in ((np.uint8, 0.01), (np.uint16, 1e-4)):
        most = np.iinfo(dtype).max
        write_png(shelf.folder / "n.png", np.rint((normals + 1) / 2 * most).astype(dtype))
        found = shelf.view("a.png", normal_path=shelf.folder / "n.png").load_normal()
        np.testing.assert_allclose(found, normals, rtol=0, atol=tolerance)
        np.testing.assert_allclose(np.linalg.norm(found, axis=2), [[1, 1, 0]], rtol=1e-6)
    write_png(shelf.folder / "n.png", np.zeros((1, 3, 3), np.uint8))
    assert not shelf.view("a.png", normal_path=shelf.folder / "n.png").load_normal().any()


def test_flow(shelf):
    flow = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    write_array(shelf.folder / "flow.npy", flow)
    view = shelf.view("a.png", flow_path=shelf.folder / "flow.npy")
    np.testing.assert_array_equal(view.load_flow(), flow)
    with pytest.raises(InputError, match="without lens distortion"):
        replace(view, distortion=Lens(1, 1, 0, 0, k1=0.1)).load_flow()


def test_a_lens_is_undone_in_every_companion(shelf):
    rng = np.random.default_rng(0)
    lens = Lens(10, 11, 6, 5, k1=0.3)
    K = torch.tensor([[10, 0, 6], [0, 11, 5], [0, 0, 1]], dtype=torch.float64)
    camera = Camera(K, torch.eye(4, dtype=torch.float64), WIDTH, HEIGHT)
    depth = rng.uniform(1, 2, (HEIGHT, WIDTH)).astype(np.float32)
    mask = rng.integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8) * 255
    write_array(shelf.folder / "depth.npy", depth)
    write_png(shelf.folder / "mask.png", mask)
    view = shelf.view(
        "a.png",
        camera=camera,
        distortion=lens,
        depth_path=shelf.folder / "depth.npy",
        mask_path=shelf.folder / "mask.png",
        valid_path=shelf.folder / "mask.png",
    )
    np.testing.assert_array_equal(view.load_image(), undistort(picture(0), lens, camera))
    np.testing.assert_array_equal(view.load_depth(), undistort(depth, lens, camera, nearest=True))
    np.testing.assert_array_equal(view.load_mask(), undistort((mask / 255).astype(np.float32), lens, camera))
    corner = view.load_valid()[0, 0]
    assert not corner, "with barrel distortion the corner lies outside the file"
    assert replace(view, valid_path=None).load_valid()[HEIGHT // 2, WIDTH // 2]
    assert replace(view, valid_path=None, distortion=None).load_valid() is None


@pytest.mark.parametrize("kind", ["image", "mask", "depth", "normal", "flow", "valid"])
def test_a_size_that_is_not_the_cameras_is_refused(shelf, kind):
    camera = random_camera(np.random.default_rng(0))
    shapes = {"depth": (4, 5), "normal": (4, 5, 3), "flow": (4, 5, 2)}
    path = shelf.folder / ("small.npy" if kind in shapes else "small.png")
    if kind in shapes:
        write_array(path, np.ones(shapes[kind], np.float32))
    else:
        write_png(path, np.zeros((4, 5, 3), np.uint8))
    view = replace(shelf.view("a.png", camera=camera), **{f"{kind}_path": path})
    with pytest.raises(InputError, match=r"small\.(npy|png).*12x10.*5x4"):
        getattr(view, f"load_{kind}")()


@pytest.mark.parametrize("kind", ["depth", "normal", "flow"])
def test_arrays_of_another_shape_are_refused(shelf, kind):
    path = shelf.folder / "wrong.npy"
    for wrong in (np.zeros((4, 5, 7), np.float32), np.zeros(4, np.float32), np.zeros((4, 5, 3), np.int32)):
        write_array(path, wrong)
        view = shelf.view("a.png", **{f"{kind}_path": path})
        with pytest.raises(InputError, match=r"wrong\.npy"):
            getattr(view, f"load_{kind}")()


def test_frames_of_a_video(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, np.stack([picture(number) for number in (0, 80, 160)]), 10)
    frames = read_video(path).frames
    for index in (2, 0, 1):
        view = View(name=str(index), split="train", image_path=path, frame_index=index)
        np.testing.assert_array_equal(view.load_image(), frames[index])


@pytest.mark.parametrize(("fields", "named"), [({"split": "dev"}, "split"), ({"time": float("nan")}, "time")])
def test_wrong_fields_are_refused(tmp_path, fields, named):
    with pytest.raises(InputError, match=named):
        View(**{"name": "a", "split": "train", "image_path": tmp_path, **fields})


def test_order_and_times_of_a_data_set(tmp_path):
    listed = [("test", 0.0, "b"), ("train", 3.0, "a"), ("train", 1.0, "b"), ("train", 1.0, "a"), ("val", 2.0, "a")]
    views = [
        View(name=str(number), split=split, time=time, camera_id=camera, image_path=tmp_path)
        for number, (split, time, camera) in enumerate(listed)
    ]
    dataset = make_dataset(tmp_path, "images", "", views)
    assert [view.name for view in dataset.views] == ["3", "2", "1", "4", "0"]
    np.testing.assert_allclose(
        [view.time_normalized for view in dataset.views], [1 / 3, 1 / 3, 1, 2 / 3, 0], rtol=1e-15
    )
    assert {name: len(views) for name, views in dataset.splits.items()} == {"train": 3, "val": 1, "test": 1}
    np.testing.assert_array_equal(dataset.times, [0, 1, 2, 3])
    assert dataset.camera_ids == ("a", "b")
    assert normalized_times([5.0, 5.0]) == [0.0, 0.0]
    with pytest.raises(InputError, match="'1' twice"):
        make_dataset(tmp_path, "images", "", [views[1], views[1]])
    with pytest.raises(InputError, match="at least one image"):
        make_dataset(tmp_path, "images", "", [])


def test_meshes_have_times(tmp_path):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    for number in range(2):
        (meshes / f"frame_{number:03d}.ply").write_bytes(b"")
    views = [View(name=str(time), split="train", time=time, image_path=tmp_path) for time in (0.0, 0.5)]
    dataset = make_dataset(tmp_path, "images", "", views, meshes=meshes)
    assert [(time, path.name) for time, path in dataset.mesh_files()] == [
        (0.0, "frame_000.ply"),
        (0.5, "frame_001.ply"),
    ]
    given = make_dataset(tmp_path, "images", "", views, meshes=meshes, meta={"mesh_times": [1, 2]})
    assert [time for time, _ in given.mesh_files()] == [1.0, 2.0]
    with pytest.raises(InputError, match="mesh_times"):
        make_dataset(tmp_path, "images", "", views, meshes=meshes, meta={"mesh_times": [1.0]}).mesh_files()
    assert make_dataset(tmp_path, "images", "", views).mesh_files() == []


def test_companions_in_npz_files(shelf):
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 2, (4, 5)).astype(np.float32)
    flow = rng.normal(size=(4, 5, 2)).astype(np.float32)
    visible = (np.arange(20).reshape(4, 5) % 3 > 0).astype(np.uint8)
    np.savez_compressed(shelf.folder / "all.npz", depth=depth, flow=flow, visible=visible)
    path = shelf.folder / "all.npz"
    view = shelf.view("a.png", depth_path=path, normal_path=path, flow_path=path)
    np.savez(shelf.folder / "depth.npz", depth=depth)
    np.testing.assert_array_equal(replace(view, depth_path=shelf.folder / "depth.npz").load_depth(), depth)
    np.testing.assert_array_equal(view.load_flow(), np.where(visible[..., None] > 0, flow, np.nan))
    with pytest.raises(InputError, match="an array 'normal'"):
        view.load_normal()
    np.savez(path, flow=flow, visible=visible[:2])
    with pytest.raises(InputError, match=r"visible \[4, 5\]"):
        view.load_flow()
