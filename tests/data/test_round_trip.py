"""Every format: what its writer writes, its reader reads back (cameras, lenses, times, splits, companions)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.data import Dataset, Points, View, read_dataset
from recon4d.data.dataset import normalized_times
from recon4d.data.formats.blender import read_blender, write_blender
from recon4d.data.formats.colmap import read_colmap, write_colmap
from recon4d.data.formats.dycheck import read_dycheck, write_dycheck
from recon4d.data.formats.llff import read_llff, write_llff
from recon4d.data.formats.multicam import read_multicam, write_multicam
from recon4d.data.formats.nerfstudio import read_nerfstudio, write_nerfstudio
from recon4d.data.formats.ply_points import read_ply_points, write_ply_points
from recon4d.data.images import write_array, write_png
from recon4d.data.video import read_video, write_video
from tests.data.examples import (
    Shelf,
    assert_same_camera,
    assert_same_lens,
    picture,
    random_camera,
    random_lens,
    with_intrinsics_of,
)

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Format:
    """How a format names its files, and what it can hold."""

    name: str
    write: Callable[..., None]
    read: Callable[..., Dataset]
    image: str  # With {n} for the number and {c} for the camera.
    view_name: str
    splits: bool = True
    lenses: bool = True
    skew: bool = False
    lens_per_camera: bool = False


FPS = 20.0
FORMATS = {
    one.name: one
    for one in (
        Format("blender", write_blender, read_blender, "{s}/r_{n:03d}.png", "{s}/r_{n:03d}"),
        Format("nerfstudio", write_nerfstudio, read_nerfstudio, "images/r_{n:03d}.png", "images/r_{n:03d}"),
        Format(
            "colmap",
            write_colmap,
            lambda folder: read_colmap(folder, fps=FPS),
            "images/{c}/r_{n:03d}.png",
            "{c}/r_{n:03d}",
            splits=False,
        ),
        Format(
            "dycheck",
            lambda folder, views: write_dycheck(folder, views, fps=FPS, factor=2, scale=0.3, center=(1.0, -2.0, 3.0)),
            read_dycheck,
            "rgb/2x/{c}_{n:05d}.png",
            "{c}_{n:05d}",
            skew=True,
        ),
        Format(
            "multicam",
            write_multicam,
            read_multicam,
            "footage/{c}/{n:03d}.png",
            "{c}/{n:03d}",
            skew=True,
            lens_per_camera=True,
        ),
    )
}


def make_views(one: Format, shelf: Shelf, rng: np.random.Generator, count: int, cameras: int) -> list[View]:
    views: list[View] = []
    shared = [random_camera(rng) for _ in range(cameras)]
    lenses = [random_lens(rng, camera, skew=one.skew) if rng.random() < 0.5 else None for camera in shared]
    for number in range(count):
        which = int(rng.integers(cameras))
        camera, lens = random_camera(rng), None
        if one.lens_per_camera or rng.random() < 0.5:
            camera, lens = with_intrinsics_of(camera, shared[which]), lenses[which]
        split = str(rng.choice(SPLITS)) if one.splits else "train"
        words = {"n": number, "c": which, "s": split}
        views.append(
            shelf.view(
                one.image.format(**words),
                number,
                name=one.view_name.format(**words),
                split=split,
                time=number / FPS,
                camera=camera,
                camera_id=str(which),
                distortion=lens if one.lenses else None,
            )
        )
    return views


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6), cameras=st.integers(1, 3))
def test_cameras_times_and_splits(tmp_path_factory, name, seed, count, cameras):
    one = FORMATS[name]
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp(name)
    views = make_views(one, Shelf(folder), rng, count, cameras)
    one.write(folder, views)
    metadata = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".json", ".bin")}
    assert metadata
    dataset = one.read(folder)
    assert dataset.format == name
    assert len(dataset.views) == count
    found = {view.name: view for view in dataset.views}
    times = [view.time for view in views]
    for view, time_normalized in zip(views, normalized_times(times), strict=True):
        back = found[view.name]
        assert back.split == view.split
        assert back.camera_id == view.camera_id
        assert back.time == pytest.approx(view.time, abs=1e-12)
        assert back.time_normalized == pytest.approx(time_normalized, abs=1e-12)
        assert back.image_path == view.image_path
        assert_same_lens(back.distortion, view.distortion)
        if name == "dycheck":  # The world goes through the scale and centre of the file.
            near = dict(rtol=1e-9, atol=1e-9 * max(1.0, float(view.camera.cam_from_world.abs().max())))
            torch.testing.assert_close(back.camera.cam_from_world, view.camera.cam_from_world, **near)
            torch.testing.assert_close(back.camera.K, view.camera.K, rtol=1e-12, atol=1e-12)
        else:
            assert_same_camera(back.camera, view.camera)
    assert [view.split for view in dataset.views] == sorted((view.split for view in views), key=SPLITS.index)
    one.write(folder, views)
    assert metadata == {path: path.read_bytes() for path in metadata}, "the same views give other bytes"
    assert read_dataset(folder).format == name


@pytest.mark.parametrize("binary", [True, False])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 30))
def test_colmap_points(tmp_path_factory, binary, seed, count):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("colmap")
    view = Shelf(folder).view("images/a b 1.png", camera=random_camera(rng))
    points = Points(
        rng.normal(scale=1e3, size=(count, 3)),
        rng.integers(0, 256, (count, 3)).astype(np.uint8),
        rng.uniform(0, 5, count),
    )
    write_colmap(folder, [view], points=points, binary=binary)
    assert sorted(path.suffix for path in (folder / "sparse/0").iterdir()) == [".bin" if binary else ".txt"] * 3
    dataset = read_colmap(folder)
    np.testing.assert_array_equal(dataset.points.positions, points.positions)
    np.testing.assert_array_equal(dataset.points.colors, points.colors)
    np.testing.assert_array_equal(dataset.points.errors, points.errors)
    assert dataset.views[0].name == "a b 1"
    assert_same_camera(dataset.views[0].camera, view.camera)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 20))
def test_ply_points(tmp_path_factory, seed, count):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("ply") / "points.ply"
    colors = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    points = Points(rng.normal(size=(count, 3)), colors, np.full(count, -1.0))
    write_ply_points(path, points)
    back = read_ply_points(path)
    np.testing.assert_array_equal(back.positions, points.positions)
    np.testing.assert_array_equal(back.colors, points.colors)
    rows = [
        f"{x!r} {y!r} {z!r} {r} {g} {b}"
        for (x, y, z), (r, g, b) in zip(points.positions.tolist(), colors.tolist(), strict=True)
    ]
    names = "".join(f"property double {axis}\n" for axis in "xyz")
    names += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    header = f"ply\nformat ascii 1.0\ncomment by hand\nelement vertex {count}\n{names}element face 0\nend_header\n"
    path.write_text(header + "\n".join(rows) + "\n")
    back = read_ply_points(path)
    np.testing.assert_array_equal(back.positions, points.positions)
    np.testing.assert_array_equal(back.colors, points.colors)


@pytest.mark.parametrize("name", ["blender", "nerfstudio"])
def test_companions(tmp_path, name):
    one = FORMATS[name]
    shelf = Shelf(tmp_path)
    view = make_views(one, shelf, np.random.default_rng(0), 1, 1)[0]
    write_png(tmp_path / "mask.png", picture(0)[:, :, 0])
    for file, shape in (("depth.npy", (10, 12)), ("normal.npy", (10, 12, 3)), ("flow.npy", (10, 12, 2))):
        write_array(tmp_path / file, np.ones(shape, np.float32))
    view = replace(
        view,
        mask_path=tmp_path / "mask.png",
        depth_path=tmp_path / "depth.npy",
        normal_path=tmp_path / "normal.npy",
        flow_path=tmp_path / "flow.npy",
        valid_path=tmp_path / "mask.png",
    )
    one.write(tmp_path, [view])
    back = one.read(tmp_path).views[0]
    for field in ("mask_path", "depth_path", "normal_path", "flow_path", "valid_path", "depth_scale"):
        assert getattr(back, field) == getattr(view, field), field


def test_nerfstudio_depth_images_keep_their_scale(tmp_path):
    shelf = Shelf(tmp_path)
    write_png(tmp_path / "depth.png", np.full((10, 12), 500, np.uint16))
    camera = random_camera(np.random.default_rng(0))
    view = shelf.view("a.png", camera=camera, depth_path=tmp_path / "depth.png", depth_scale=0.01)
    write_nerfstudio(tmp_path, [view])
    np.testing.assert_allclose(read_nerfstudio(tmp_path).views[0].load_depth(), 5.0, rtol=1e-6)


def test_nerfstudio_points_and_blender_meta(tmp_path):
    view = Shelf(tmp_path).view("a.png", camera=random_camera(np.random.default_rng(0)))
    points = Points(np.ones((2, 3)), np.full((2, 3), 7, np.uint8), np.full(2, -1.0))
    write_nerfstudio(tmp_path, [view], points=points)
    np.testing.assert_array_equal(read_nerfstudio(tmp_path).points.positions, points.positions)
    meta = {"background": [0.1, 0.2, 0.3], "metres_per_unit": 2.5, "fps": 12, "seed": 7, "mesh_times": [0.0]}
    write_blender(tmp_path, [view], meta=meta)
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "frame_000.ply").write_bytes(b"")
    dataset = read_blender(tmp_path)
    assert dataset.background == (0.1, 0.2, 0.3)
    assert dataset.metres_per_unit == 2.5
    assert dict(dataset.meta) == meta
    assert dataset.mesh_files() == [(0.0, tmp_path / "meshes" / "frame_000.ply")]


def test_transparent_blender_images_belong_on_white_unless_the_meta_file_says_otherwise(tmp_path):
    view = Shelf(tmp_path).view("a.png", alpha=True, camera=random_camera(np.random.default_rng(0)))
    for meta, expected in ((None, (1, 1, 1)), ({"background": None}, None), ({"background": [0, 0, 0]}, (0, 0, 0))):
        write_blender(tmp_path, [view], meta=meta)
        assert read_blender(tmp_path).background == expected
    view = Shelf(tmp_path / "opaque").view("a.png", camera=view.camera)
    write_blender(tmp_path / "opaque", [view])
    assert read_blender(tmp_path / "opaque").background is None


def test_videos_of_several_cameras(tmp_path):
    rng = np.random.default_rng(0)
    times = np.array([0.0, 0.04, 0.1])
    views = []
    (tmp_path / "masks").mkdir()
    write_png(tmp_path / "masks" / "mask_2.png", picture(0)[:, :, 0])
    for name in ("left", "right"):
        frames = np.stack([picture(40 * number) for number in range(3)])
        write_video(tmp_path / f"{name}.mp4", frames, 25, times=times)
        lens = random_camera(rng)
        for index, time in enumerate(times):
            camera = with_intrinsics_of(random_camera(rng), lens)
            path = tmp_path / f"{name}.mp4"
            mask = tmp_path / "masks" / "mask_2.png" if index == 2 else None
            views.append(
                View(f"{name}/{index:06d}", "train", path, time, camera, name, frame_index=index, mask_path=mask)
            )
    write_multicam(tmp_path, views)
    dataset = read_dataset(tmp_path)
    assert dataset.format == "multicam"
    assert dataset.camera_ids == ("left", "right")
    found = {view.name: view for view in dataset.views}
    frames = {name: read_video(tmp_path / f"{name}.mp4").frames for name in ("left", "right")}
    for view in views:
        back = found[view.name]
        assert (back.time, back.frame_index, back.mask_path) == (view.time, view.frame_index, view.mask_path)
        assert_same_camera(back.camera, view.camera)
        np.testing.assert_array_equal(back.load_image(), frames[view.camera_id][view.frame_index])


def llff_views(folder, names: list[str], rng: np.random.Generator) -> list[View]:
    shelf = Shelf(folder)
    pinhole = random_camera(rng, square=True)
    return [
        shelf.view(
            f"images/{name}.png",
            camera=with_intrinsics_of(random_camera(rng), pinhole),
            camera_id=name,
            name=f"{name}.png",
        )
        for name in names
    ]


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_llff_images(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("llff")
    views = llff_views(folder, ["im_2", "im_10", "im_1"], np.random.default_rng(seed))
    write_llff(folder, views)
    dataset = read_llff(folder)
    assert [view.name for view in dataset.views] == ["im_1.png", "im_10.png", "im_2.png"]
    for view in views:
        back = next(one for one in dataset.views if one.name == view.name)
        assert_same_camera(back.camera, view.camera)
        assert back.image_path == view.image_path
    assert read_dataset(folder).format == "llff"


@pytest.mark.parametrize("videos", [True, False])
def test_llff_of_several_cameras(tmp_path, videos):
    rng = np.random.default_rng(0)
    pinhole = random_camera(rng, square=True)
    cameras = {f"cam{number:02d}": with_intrinsics_of(random_camera(rng), pinhole) for number in range(3)}
    views = []
    for name, camera in cameras.items():
        views.append(View(name, "train", tmp_path / name, camera=camera, camera_id=name))
        frames = np.stack([picture(number) for number in range(2)])
        if videos:
            write_video(tmp_path / f"{name}.mp4", frames, 10)
        else:
            (tmp_path / name / "images").mkdir(parents=True)
            for number, frame in enumerate(frames):
                write_png(tmp_path / name / "images" / f"{number}.png", frame)
            (tmp_path / "meta.json").write_text('{"fps": 10}')
    write_llff(tmp_path, views)
    dataset = read_dataset(tmp_path)
    assert dataset.format == "llff"
    assert len(dataset.views) == 6
    assert {view.camera_id for view in dataset.split("test")} == {"cam00"}
    np.testing.assert_allclose(dataset.times, [0, 0.1], atol=1e-12)
    for view in dataset.views:
        assert_same_camera(view.camera, cameras[view.camera_id])
        assert view.load_image().shape == (10, 12, 3)


def test_llff_cameras_are_scaled_to_the_images_that_are_there(tmp_path):
    view = llff_views(tmp_path, ["a"], np.random.default_rng(0))[0]
    camera = view.camera
    write_llff(tmp_path, [replace(view, camera=camera.resized(24, 20))])
    assert_same_camera(read_llff(tmp_path).views[0].camera, camera)


def test_dycheck_reads_other_factors_depth_and_covisibility(tmp_path):
    shelf = Shelf(tmp_path)
    camera = random_camera(np.random.default_rng(0))
    view = shelf.view("rgb/2x/0_00003.png", name="0_00003", split="val", time=0.1, camera=camera)
    write_dycheck(tmp_path, [view], fps=30, factor=2, scale=0.5)
    for folder, name in (("depth/2x", "0_00003.npy"), ("covisible/2x/val", "0_00003.png"), ("rgb/1x", "0_00003.png")):
        (tmp_path / folder).mkdir(parents=True)
        if name.endswith(".npy"):
            write_array(tmp_path / folder / name, np.full((10, 12, 1), 4.0, np.float32))
        else:
            write_png(
                tmp_path / folder / name, np.full((20, 24), 255, np.uint8) if "1x" in folder else picture(0)[:, :, 0]
            )
    back = read_dycheck(tmp_path).views[0]
    np.testing.assert_array_equal(back.load_depth(), np.full((10, 12), 2.0))
    np.testing.assert_array_equal(back.load_valid(), picture(0)[:, :, 0] > 127)
    write_png(view.image_path, picture(0, alpha=True))
    assert back.load_mask() is None, "alpha is validity here"
    expected = (picture(0)[:, :, 0] > 127) & (picture(0, alpha=True)[:, :, 3] == 255)
    np.testing.assert_array_equal(back.load_valid(), expected)
    write_array(tmp_path / "points.npy", np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(read_dycheck(tmp_path).points.positions, [[0.5, 1.0, 1.5]])
    large = read_dycheck(tmp_path, factor=1).views[0]
    assert (large.camera.width, large.camera.height) == (24, 20)
    torch.testing.assert_close(large.camera.K[:2], camera.K[:2] * 2, rtol=1e-12, atol=1e-12)


def test_nerfies_splits_come_from_the_data_set_file(tmp_path):
    shelf = Shelf(tmp_path)
    rng = np.random.default_rng(0)
    views = [
        shelf.view(f"rgb/1x/{n:06d}.png", name=f"{n:06d}", split=split, time=n / 30, camera=random_camera(rng))
        for n, split in enumerate(("train", "val", "train"))
    ]
    write_dycheck(tmp_path, views)
    for path in [*(tmp_path / "splits").iterdir(), tmp_path / "extra.json"]:
        path.unlink()
    (tmp_path / "splits").rmdir()
    dataset = read_dycheck(tmp_path)
    assert {view.name: view.split for view in dataset.views} == {view.name: view.split for view in views}
    np.testing.assert_allclose(dataset.times, [0, 1 / 30, 2 / 30], rtol=1e-15)
    assert any("30 frames a second" in warning for warning in dataset.warnings)
