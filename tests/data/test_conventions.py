"""Conventions: for files written by hand from each format's own definition, known 3D points project where they must.

The truth here never passes through our writers: every file is built from a camera centre and the axes right, down,
forward in the words of the format, and the expected pixel is computed from those.
"""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.data import read_dataset
from recon4d.data.images import write_png
from recon4d.data.lens import Lens
from tests.data.examples import HEIGHT, WIDTH, picture, project

FX, FY, CX, CY = 9.0, 11.0, 5.0, 6.5


def rigging(rng: np.random.Generator):
    """A camera centre and axes, points in front of it, and their ideal image coordinates."""
    forward, other = rng.normal(size=(2, 3))
    forward /= np.linalg.norm(forward)
    right = np.cross(other, forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    center = rng.normal(size=3) * 3
    x, y, z = rng.uniform(-1, 1, 12), rng.uniform(-1, 1, 12), rng.uniform(0.5, 5, 12)
    points = center + z[:, None] * (x[:, None] * right + y[:, None] * down + forward)
    return center, right, down, forward, points, np.stack([x, y], -1)


def write_opengl(folder, center, right, down, forward, *, per_file, name="transforms.json", **extra):
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([right, -down, -forward, center])
    write_png(folder / "a.png", picture(0))
    frame = {"file_path": "a.png", "transform_matrix": matrix.tolist(), "time": 0.25, **extra}
    (folder / name).write_text(json.dumps({**per_file, "frames": [frame]}))


INTRINSICS = {"fl_x": FX, "fl_y": FY, "cx": CX, "cy": CY, "w": WIDTH, "h": HEIGHT}


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", ["transforms.json", "transforms_train.json"])
@pytest.mark.parametrize("where", ["file", "frame"])
def test_opengl_transforms(tmp_path_factory, name, where, seed):
    folder = tmp_path_factory.mktemp("opengl")
    *rig, points, ideal = rigging(np.random.default_rng(seed))
    per_file, per_frame = (INTRINSICS, {}) if where == "file" else ({"fl_x": 1.0, "cx": 3.0}, INTRINSICS)
    write_opengl(folder, *rig, per_file=per_file, name=name, **per_frame)
    view = read_dataset(folder).views[0]
    np.testing.assert_allclose(project(view.camera, points), ideal * (FX, FY) + (CX, CY), rtol=1e-9, atol=1e-9)
    assert view.time == 0.25


def test_camera_angle_x_is_the_full_horizontal_angle(tmp_path):
    center, *axes, _, _ = rigging(np.random.default_rng(0))
    write_opengl(tmp_path, center, *axes, per_file={"camera_angle_x": math.radians(90)}, name="transforms_train.json")
    camera = read_dataset(tmp_path).views[0].camera
    right, _, forward = axes
    borders = np.stack([center + forward - right, center + forward, center + forward + right])
    expected = [[0, HEIGHT / 2], [WIDTH / 2, HEIGHT / 2], [WIDTH, HEIGHT / 2]]
    np.testing.assert_allclose(project(camera, borders), expected, rtol=0, atol=1e-9)


def quaternion_of(rotation: np.ndarray) -> list[float]:
    """wxyz by the largest eigenvector of Bar-Itzhack's matrix, a way apart from the library's."""
    r = rotation
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    x, y, z, w = np.linalg.eigh(matrix)[1][:, -1]
    return [w, x, y, z]


MODELS = {
    "SIMPLE_PINHOLE": (0, [FX, CX, CY], Lens(FX, FX, CX, CY)),
    "PINHOLE": (1, [FX, FY, CX, CY], Lens(FX, FY, CX, CY)),
    "SIMPLE_RADIAL": (2, [FX, CX, CY, 0.01], Lens(FX, FX, CX, CY, k1=0.01)),
    "RADIAL": (3, [FX, CX, CY, 0.01, 0.002], Lens(FX, FX, CX, CY, k1=0.01, k2=0.002)),
    "OPENCV": (4, [FX, FY, CX, CY, 0.01, 0.002, 0.003, 0.004], Lens(FX, FY, CX, CY, 0, 0.01, 0.002, 0, 0.003, 0.004)),
    "FULL_OPENCV": (
        6,
        [FX, FY, CX, CY, 0.01, 0.002, 0.003, 0.004, 0.005, 0, 0, 0],
        Lens(FX, FY, CX, CY, 0, 0.01, 0.002, 0.005, 0.003, 0.004),
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("binary", [True, False])
def test_colmap(tmp_path, model, binary):
    center, right, down, forward, points, ideal = rigging(np.random.default_rng(1))
    number, parameters, lens = MODELS[model]
    rotation = np.stack([right, down, forward])
    translation = -rotation @ center
    quaternion = quaternion_of(rotation)
    sparse = tmp_path / "sparse" / "0"
    sparse.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "frame_0007.png", picture(0))
    write_png(tmp_path / "images" / "frame_0010.png", picture(0))
    names = ["frame_0010.png", "frame_0007.png"]
    if binary:
        head = struct.pack("<Q", 1) + struct.pack("<iiQQ", 3, number, WIDTH, HEIGHT)
        (sparse / "cameras.bin").write_bytes(head + struct.pack(f"<{len(parameters)}d", *parameters))
        images = struct.pack("<Q", 2)
        for index, name in enumerate(names):
            images += struct.pack("<i7di", index, *quaternion, *translation, 3) + name.encode() + b"\0"
            images += struct.pack("<Q", 2) + struct.pack("<ddqddq", 1, 2, -1, 3, 4, 17)
        (sparse / "images.bin").write_bytes(images)
        point = struct.pack("<Q3d3BdQiiii", 17, 1.5, 2.5, 3.5, 10, 20, 30, 0.75, 2, 0, 1, 1, 1)
        (sparse / "points3D.bin").write_bytes(struct.pack("<Q", 1) + point)
    else:
        line = " ".join(map(str, parameters))
        (sparse / "cameras.txt").write_text(f"# a comment\n\n3 {model} {WIDTH} {HEIGHT} {line}\n")
        pose = " ".join(map(str, (*quaternion, *translation)))
        (sparse / "images.txt").write_text(f"# c\n0 {pose} 3 {names[0]}\n1 2 -1 3 4 17\n1 {pose} 3 {names[1]}\n\n")
        (sparse / "points3D.txt").write_text("# c\n17 1.5 2.5 3.5 10 20 30 0.75 0 1 1 1\n")
    dataset = read_dataset(tmp_path)
    assert [view.name for view in dataset.views] == ["frame_0007", "frame_0010"]
    np.testing.assert_allclose(dataset.times, [0, 0.1], rtol=0, atol=1e-12)
    assert any("30 frames a second" in warning for warning in dataset.warnings)
    for view in dataset.views:
        pixels = project(view.camera, points)
        np.testing.assert_allclose(pixels, ideal * (lens.fx, lens.fy) + (CX, CY), rtol=1e-9, atol=1e-9)
        assert view.distortion == (None if lens.is_pinhole else lens)
    np.testing.assert_array_equal(dataset.points.positions, [[1.5, 2.5, 3.5]])
    np.testing.assert_array_equal(dataset.points.colors, [[10, 20, 30]])
    np.testing.assert_array_equal(dataset.points.errors, [0.75])


def test_dycheck(tmp_path):
    center, right, down, forward, points, ideal = rigging(np.random.default_rng(2))
    scale, middle = 0.25, np.array([1.0, 2.0, 3.0])
    camera = {
        "orientation": np.stack([right, down, forward]).tolist(),
        "position": center.tolist(),
        "focal_length": 2 * FX,
        "principal_point": [2 * CX, 2 * CY],
        "skew": 0.5,
        "pixel_aspect_ratio": FY / FX,
        "radial_distortion": [0.01, 0.02, 0.03],
        "tangential_distortion": [0.04, 0.05],
        "image_size": [2 * WIDTH, 2 * HEIGHT],
    }
    for folder in ("camera", "rgb/2x", "rgb/4x"):
        (tmp_path / folder).mkdir(parents=True)
    write_png(tmp_path / "rgb/2x/1_00006.png", picture(0))
    files = {
        "camera/1_00006.json": camera,
        "dataset.json": {"count": 1, "ids": ["1_00006"], "train_ids": ["1_00006"], "val_ids": []},
        "metadata.json": {"1_00006": {"time_id": 6, "warp_id": 9, "appearance_id": 9, "camera_id": 1}},
        "scene.json": {"scale": scale, "center": middle.tolist(), "near": 0.1, "far": 2.0},
        "extra.json": {"fps": 60},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    dataset = read_dataset(tmp_path)
    assert (dataset.format, dataset.scale, dataset.center) == ("dycheck", scale, tuple(middle))
    view = dataset.views[0]
    assert (view.time, view.camera_id, view.split) == (0.1, "1", "train")
    moved = (points - middle) * scale
    np.testing.assert_allclose(project(view.camera, moved), ideal * (FX, FY) + (CX, CY), rtol=1e-9, atol=1e-9)
    assert view.distortion == Lens(FX, FY, CX, CY, 0.25, 0.01, 0.02, 0.03, 0.04, 0.05)
    assert dataset.meta["far"] == 2.0


def test_multicam(tmp_path):
    center, right, down, forward, points, ideal = rigging(np.random.default_rng(3))
    rotation = np.stack([right, down, forward])
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([rotation, -rotation @ center])
    shifted = matrix.copy()
    shifted[:3, 3] -= rotation @ np.ones(3)  # The centre moved by (1, 1, 1).
    (tmp_path / "left").mkdir()
    for number in (9, 10):
        write_png(tmp_path / "left" / f"{number}.png", picture(0))
    camera = {"id": "L", "images": "left", "width": WIDTH, "height": HEIGHT, "fx": FX, "fy": FY, "cx": CX, "cy": CY}
    camera |= {"cam_from_world": [matrix.tolist(), shifted.tolist()], "start": 0.5, "split": ["train", "test"]}
    content = {"format": "recon4d-cameras", "format_version": 1, "fps": 4, "cameras": [camera]}
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    first, second = read_dataset(tmp_path).views
    assert (first.time, second.time, first.split, second.split) == (0.5, 0.75, "train", "test")
    assert (first.name, second.name) == ("L/9", "L/10")
    expected = ideal * (FX, FY) + (CX, CY)
    np.testing.assert_allclose(project(first.camera, points), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(project(second.camera, points + 1), expected, rtol=1e-9, atol=1e-9)


def test_llff(tmp_path):
    center, right, down, forward, points, ideal = rigging(np.random.default_rng(4))
    matrix = np.column_stack([down, right, -forward, center, [2 * HEIGHT, 2 * WIDTH, 2 * FX]])
    np.save(tmp_path / "poses_bounds.npy", np.concatenate([matrix.ravel(), [0.5, 9.0]])[None])
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "a.png", picture(0))
    dataset = read_dataset(tmp_path)
    expected = ideal * FX + (WIDTH / 2, HEIGHT / 2)
    np.testing.assert_allclose(project(dataset.views[0].camera, points), expected, rtol=1e-9, atol=1e-9)
    assert dataset.meta["bounds"] == [[0.5, 9.0]]


def test_the_world_of_nerfstudio_is_the_files(tmp_path):
    *rig, points, ideal = rigging(np.random.default_rng(5))
    applied = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]
    write_opengl(tmp_path, *rig, per_file={**INTRINSICS, "applied_transform": applied, "applied_scale": 2.0})
    dataset = read_dataset(tmp_path)
    np.testing.assert_allclose(project(dataset.views[0].camera, points), ideal * (FX, FY) + (CX, CY), atol=1e-9)
    assert dataset.meta["applied_transform"] == applied


def test_nerfstudio_splits(tmp_path):
    *rig, _, _ = rigging(np.random.default_rng(6))
    write_opengl(tmp_path, *rig, per_file=INTRINSICS)
    content = json.loads((tmp_path / "transforms.json").read_text())
    frame = content["frames"][0]
    for name in ("b", "c", "d"):
        write_png(tmp_path / f"{name}.png", picture(0))
    content["frames"] = [{**frame, "file_path": f"./{name}.png"} for name in "abcd"]
    content |= {"train_filenames": ["a.png"], "val_filenames": ["b.png"], "test_filenames": ["./d.png"]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    assert [(view.name, view.split) for view in read_dataset(tmp_path).views] == [
        ("a", "train"),
        ("b", "val"),
        ("d", "test"),
    ]
