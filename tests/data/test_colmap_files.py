"""COLMAP's files, damaged: an input error or a model, and no count is believed before the bytes are there."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data import Points, read_dataset
from recon4d.data.formats.colmap import write_colmap
from recon4d.data.formats.colmap_files import read_model
from tests.data.examples import Shelf, random_camera

NAMES = ("cameras", "images", "points3D")


def make(folder, *, binary: bool) -> None:
    rng = np.random.default_rng(0)
    shelf = Shelf(folder)
    views = [shelf.view(f"images/{number}.png", camera=random_camera(rng)) for number in range(3)]
    points = Points(rng.normal(size=(5, 3)), rng.integers(0, 256, (5, 3)).astype(np.uint8), rng.random(5))
    write_colmap(folder, views, points=points, binary=binary)


@pytest.mark.parametrize("name", NAMES)
def test_every_shorter_file_is_refused(tmp_path, name):
    make(tmp_path, binary=True)
    path = tmp_path / "sparse" / "0" / f"{name}.bin"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{name}\.bin"):
            read_model(path.parent)
    path.write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="more bytes"):
        read_model(path.parent)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [9, 2**31, 2**63, 2**64 - 1])
def test_hostile_counts_allocate_nothing(tmp_path, name, count):
    make(tmp_path, binary=True)
    path = tmp_path / "sparse" / "0" / f"{name}.bin"
    path.write_bytes(struct.pack("<Q", count) + path.read_bytes()[8:])
    tracemalloc.start()
    with pytest.raises(InputError, match=rf"{name}\.bin"):
        read_model(path.parent)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_hostile_observation_and_track_counts(tmp_path):
    make(tmp_path, binary=True)
    folder = tmp_path / "sparse" / "0"
    for name, needle in (("images.bin", b"0.png\0"), ("points3D.bin", None)):
        whole = (folder / name).read_bytes()
        place = whole.index(needle) + len(needle) if needle else 8 + 8 + 24 + 3 + 8
        for count in (1, 2**60, 2**64 - 1):
            (folder / name).write_bytes(whole[:place] + struct.pack("<Q", count) + whole[place + 8 :])
            with pytest.raises(InputError, match=name):
                read_model(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("binary", [True, False])
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(NAMES))
def test_random_damage_is_an_input_error_or_a_model(tmp_path_factory, binary, seed, name):
    folder = tmp_path_factory.mktemp("colmap")
    make(folder, binary=binary)
    path = folder / "sparse" / "0" / f"{name}{'.bin' if binary else '.txt'}"
    rng = np.random.default_rng(seed)
    broken = np.frombuffer(path.read_bytes(), np.uint8).copy()
    for place in rng.integers(0, len(broken), rng.integers(1, 5)):
        broken[place] = rng.integers(0, 256)
    path.write_bytes(broken.tobytes()[: rng.integers(1, len(broken) + 1)] if rng.random() < 0.5 else broken.tobytes())
    try:
        dataset = read_dataset(folder)
    except InputError:
        return
    for view in dataset.views:
        assert bool(view.camera.K.isfinite().all() and view.camera.cam_from_world.isfinite().all())
    assert dataset.points is None or np.isfinite(dataset.points.positions).all()


CAMERAS = "1 PINHOLE 12 10 9 9 6 5\n"
IMAGES = "1 1 0 0 0 0 0 0 1 a.png\n\n"


@pytest.mark.parametrize(
    ("cameras", "images", "points", "named"),
    [
        ("1 PINHOLE 12 10 9 9 6\n", IMAGES, None, "4 parameters for PINHOLE"),
        ("1 MAGIC 12 10 9 9 6 5\n", IMAGES, None, "line 1.*known model"),
        ("1 PINHOLE 12 ten 9 9 6 5\n", IMAGES, None, "line 1: height"),
        ("1 PINHOLE 0 10 9 9 6 5\n", IMAGES, None, "line 1: size"),
        ("1 PINHOLE 12 99999999 9 9 6 5\n", IMAGES, None, "line 1: size"),
        ("1 PINHOLE 12 10 nan 9 6 5\n", IMAGES, None, "line 1: parameters"),
        ("1 PINHOLE 12 10 -9 9 6 5\n", IMAGES, None, "focal length"),
        ("1 PINHOLE 12 10 9 9 6 x\n", IMAGES, None, "line 1: parameters"),
        (CAMERAS * 2, IMAGES, None, "camera 1: expected each id once"),
        ("1 OPENCV_FISHEYE 12 10 9 9 6 5 0 0 0 0\n", IMAGES, None, "camera 1: model.*image_undistorter"),
        ("1 FOV 12 10 9 9 6 5 1\n", IMAGES, None, "camera 1: model"),
        ("1 FULL_OPENCV 12 10 9 9 6 5 0 0 0 0 0 1 0 0\n", IMAGES, None, "k4 k5 k6"),
        (CAMERAS, "1 1 0 0 0 0 0 0 2 a.png\n\n", None, "image 'a.png': camera id"),
        (CAMERAS, "1 0 0 0 0 0 0 0 1 a.png\n\n", None, "line 1: pose"),
        (CAMERAS, "1 1 0 0 0 0 inf 0 1 a.png\n\n", None, "line 1: pose"),
        (CAMERAS, "1 1 0 0 0 0 0 0 1\n\n", None, "QW QX QY QZ"),
        (CAMERAS, "1 1 0 0 0 0 0 0 1 a.png\n1 2\n", None, "line 2.*POINT3D_ID"),
        (CAMERAS, "1 1 0 0 0 0 0 0 1 ../a.png\n\n", None, "file name inside"),
        (CAMERAS, "1 1 0 0 0 0 0 0 1 /etc/passwd\n\n", None, "file name inside"),
        (CAMERAS, "1 1 0 0 0 0 0 0 1 b.png\n\n", None, "a file that exists"),
        (CAMERAS, IMAGES, "1 0 0 0 300 0 0 0\n", "colours"),
        (CAMERAS, IMAGES, "1 0 0 nan 0 0 0 0\n", "points3D.txt"),
        (CAMERAS, IMAGES, "1 0 0 0 0 0 0\n", "line 1.*TRACK|line 1.*track"),
        (CAMERAS, "", None, "at least one image"),
    ],
)
def test_wrong_text_models_are_named(tmp_path, cameras, images, points, named):
    Shelf(tmp_path).view("images/a.png")
    folder = tmp_path / "sparse"
    folder.mkdir()
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    if points is not None:
        (folder / "points3D.txt").write_text(points)
    with pytest.raises(InputError, match=named):
        read_dataset(tmp_path)


def test_the_text_model_of_those_cases_is_right_without_the_fault(tmp_path):
    Shelf(tmp_path).view("images/a.png")
    (tmp_path / "sparse").mkdir()
    (tmp_path / "sparse" / "cameras.txt").write_text(CAMERAS)
    (tmp_path / "sparse" / "images.txt").write_text(IMAGES)
    dataset = read_dataset(tmp_path)
    assert [(view.name, view.time) for view in dataset.views] == [("a", 0.0)]
    assert dataset.points is None
    assert any("time 0" in warning for warning in dataset.warnings)


def test_the_model_may_lie_in_several_places(tmp_path):
    make(tmp_path, binary=True)
    for place in ("sparse", "colmap/sparse/0", "."):
        target = tmp_path / place
        target.mkdir(parents=True, exist_ok=True)
        for path in list((tmp_path / "sparse" / "0").glob("*.bin")):
            (target / path.name).write_bytes(path.read_bytes())
        assert len(read_dataset(tmp_path).views) == 3
