"""Wrong data sets: each is refused with one error that names the file and the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data import read_dataset
from recon4d.data.formats.blender import write_blender
from recon4d.data.formats.colmap import write_colmap
from recon4d.data.formats.dycheck import write_dycheck
from recon4d.data.formats.llff import write_llff
from recon4d.data.formats.multicam import write_multicam
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.data.images import read_array, write_array
from recon4d.data.lens import Lens
from recon4d.data.view import View
from tests.data.examples import Shelf, random_camera, with_intrinsics_of

SCALED = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]
MIRROR = [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
SHEAR = [[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
PERSPECTIVE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
SMALL = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
RAGGED = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1], [0, 0, 0, 1]]
TEXT = [["1", 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
MATRICES = [SCALED, MIRROR, SHEAR, PERSPECTIVE, SMALL, RAGGED, TEXT, [], None, "matrix", 7, {"a": 1}]


def blender(folder: Path) -> None:
    shelf = Shelf(folder)
    camera = random_camera(np.random.default_rng(0), square=True)
    write_blender(folder, [shelf.view(f"train/{n}.png", camera=camera, time=n / 2) for n in range(3)], meta={"fps": 2})


def nerfstudio(folder: Path) -> None:
    shelf = Shelf(folder)
    camera = random_camera(np.random.default_rng(0))
    write_nerfstudio(folder, [shelf.view(f"images/{n}.png", camera=camera, time=n / 2) for n in range(3)])


def dycheck(folder: Path) -> None:
    shelf = Shelf(folder)
    camera = random_camera(np.random.default_rng(0))
    write_dycheck(folder, [shelf.view(f"rgb/1x/{n}.png", name=str(n), camera=camera, time=n / 30) for n in range(3)])


def multicam(folder: Path) -> None:
    shelf = Shelf(folder)
    camera = random_camera(np.random.default_rng(0))
    write_multicam(folder, [shelf.view(f"cam/{n}.png", camera=camera, time=n / 30) for n in range(3)])


def colmap(folder: Path) -> None:
    shelf = Shelf(folder)
    camera = random_camera(np.random.default_rng(0))
    write_colmap(folder, [shelf.view(f"images/{n}.png", camera=camera) for n in range(3)])


def llff(folder: Path) -> None:
    view = Shelf(folder).view("images/a.png", camera=random_camera(np.random.default_rng(0), square=True))
    write_llff(folder, [view])


def at(content: object, *keys: object) -> object:
    for key in keys:
        content = content[key]  # type: ignore[index]
    return content


T, B, C = "transforms.json", "transforms_train.json", "cameras.json"
# (maker, file, keys to the field, wrong value, what the error must name); DELETE removes the field.
DELETE = object()
FIELDS: list[tuple[Callable[[Path], None], str, tuple[object, ...], object, str]] = [
    *[
        (nerfstudio, T, ("frames", 1, "transform_matrix"), matrix, r"frames\[1\]\.transform_matrix")
        for matrix in MATRICES
    ],
    *[(blender, B, ("frames", 1, "transform_matrix"), matrix, r"frames\[1\]\.transform_matrix") for matrix in MATRICES],
    *[(multicam, C, ("cameras", 0, "cam_from_world"), matrix, r"cameras\[0\]\.cam_from_world") for matrix in MATRICES],
    (nerfstudio, T, ("frames", 2, "transform_matrix"), DELETE, r"frames\[2\]\.transform_matrix"),
    (nerfstudio, T, ("frames",), DELETE, "frames"),
    (nerfstudio, T, ("frames",), {}, "frames"),
    (nerfstudio, T, ("frames",), [], r"train_filenames\[0\]"),
    (blender, B, ("frames",), [], "at least one image"),
    (nerfstudio, T, ("frames", 0), "frame", r"frames\[0\]"),
    (nerfstudio, T, ("frames", 0, "file_path"), DELETE, r"frames\[0\]\.file_path"),
    (nerfstudio, T, ("frames", 0, "file_path"), 3, r"frames\[0\]\.file_path"),
    (blender, B, ("frames", 0, "file_path"), "train/9.png", r"frames\[0\]\.file_path"),
    (blender, B, ("frames", 0, "file_path"), "train/1.png", "twice"),
    (nerfstudio, T, ("frames", 0, "mask_path"), "masks/9.png", r"frames\[0\]\.mask_path"),
    (nerfstudio, T, ("frames", 0, "time"), "now", r"frames\[0\]\.time"),
    (nerfstudio, T, ("frames", 0, "time"), True, r"frames\[0\]\.time"),
    (nerfstudio, T, ("frames", 0, "time"), DELETE, r"frames\.time"),
    (nerfstudio, T, ("fl_x",), DELETE, "fl_x"),
    (nerfstudio, T, ("fl_x",), -3, "fl_x"),
    (nerfstudio, T, ("fl_y",), 0, "fl_y"),
    (nerfstudio, T, ("fl_x",), "wide", "fl_x"),
    (nerfstudio, T, ("fl_x",), 10**400, "fl_x"),
    (nerfstudio, T, ("cx",), [1], "cx"),
    (nerfstudio, T, ("w",), 13, "w: expected 12"),
    (nerfstudio, T, ("h",), 10.5, "h: expected a whole number"),
    (nerfstudio, T, ("k1",), 1e9, "k1"),
    (nerfstudio, T, ("frames", 0, "fl_x"), 1e300, r"frames\[0\]: lens fx"),
    (nerfstudio, T, ("frames", 0, "transform_matrix", 0, 3), 1e300, r"frames\[0\]: camera centre"),
    (nerfstudio, T, ("k4",), 0.1, "k4"),
    (nerfstudio, T, ("camera_model",), "OPENCV_FISHEYE", "camera_model"),
    (nerfstudio, T, ("depth_unit_scale_factor",), 0, "depth_unit_scale_factor"),
    (nerfstudio, T, ("applied_transform",), [[1]], "applied_transform"),
    (nerfstudio, T, ("train_filenames", 0), "images/8.png", r"train_filenames\[0\]"),
    (nerfstudio, T, ("train_filenames", 0), 8, r"train_filenames\[0\]"),
    (nerfstudio, T, ("val_filenames",), ["images/0.png"], r"val_filenames\[0\]"),
    (blender, B, ("frames", 0, "time_seconds"), DELETE, "time_seconds"),
    (blender, B, ("frames", 0, "camera_id"), 7, r"frames\[0\]\.camera_id"),
    (blender, "meta.json", ("background",), [0, 0, 2], "background"),
    (blender, "meta.json", ("background",), "white", "background"),
    (blender, "meta.json", ("fps",), 0, "fps"),
    (blender, "meta.json", ("metres_per_unit",), -1, "metres_per_unit"),
    (blender, "meta.json", ("mesh_times",), [0, "x"], r"mesh_times\[1\]"),
    (dycheck, "camera/1.json", ("orientation",), SHEAR[:3], "orientation"),
    (dycheck, "camera/1.json", ("orientation",), [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "orientation"),
    (dycheck, "camera/1.json", ("orientation",), [[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "orientation"),
    (dycheck, "camera/1.json", ("position",), [1, 2], "position"),
    (dycheck, "camera/1.json", ("focal_length",), 0, "focal_length"),
    (dycheck, "camera/1.json", ("image_size",), [0, 4], "image_size"),
    (dycheck, "camera/1.json", ("radial_distortion",), [1], "radial_distortion"),
    (dycheck, "scene.json", ("scale",), 0, "scale"),
    (dycheck, "scene.json", ("center",), [1, 2], "center"),
    (dycheck, "metadata.json", ("1",), DELETE, "metadata.json: 1"),
    (dycheck, "metadata.json", ("1", "time_id"), -1, "time_id"),
    (dycheck, "metadata.json", ("1", "time_id"), 0.5, "time_id"),
    (dycheck, "splits/train.json", ("frame_names", 0), "7", "metadata.json: 7"),
    (dycheck, "splits/train.json", ("frame_names", 0), 7, r"frame_names\[0\]"),
    (dycheck, "extra.json", ("fps",), 0, "fps"),
    (dycheck, "extra.json", ("factor",), 4, "rgb/4x/0"),
    (multicam, C, ("format",), "cameras", "format"),
    (multicam, C, ("format_version",), 2, "format_version"),
    (multicam, C, ("cameras",), 3, "cameras"),
    (multicam, C, ("cameras", 0, "id"), "", r"cameras\[0\]\.id"),
    (multicam, C, ("cameras", 0, "width"), 11, "width, height"),
    (multicam, C, ("cameras", 0, "height"), 10**9, "height"),
    (multicam, C, ("cameras", 0, "fx"), 0, "fx"),
    (multicam, C, ("cameras", 0, "images"), "cam2", "images"),
    (multicam, C, ("cameras", 0, "video"), "a.mp4", "images or video"),
    (multicam, C, ("cameras", 0, "images"), DELETE, "images"),
    (multicam, C, ("cameras", 0, "times"), [0, 1], "times"),
    (multicam, C, ("cameras", 0, "times"), DELETE, "times"),
    (multicam, C, ("cameras", 0, "split"), "dev", "split"),
    (multicam, C, ("cameras", 0, "split"), ["train"], "split"),
]


@pytest.mark.parametrize("case", range(len(FIELDS)))
def test_a_wrong_field_is_named(tmp_path, case):
    maker, file, keys, value, named = FIELDS[case]
    maker(tmp_path)
    path = tmp_path / file
    content = json.loads(path.read_text())
    holder = at(content, *keys[:-1])
    if value is DELETE:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=named) as caught:
        read_dataset(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert str(tmp_path) in str(caught.value)


ESCAPES = [  # "." and ".." alone are no files either.
    "../outside.png",
    "/etc/passwd",
    "a/../../outside.png",
    "..\\outside.png",
    "C:/outside.png",
    "a\0.png",
    "..",
    ".",
]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize(
    ("maker", "file", "keys"),
    [
        (nerfstudio, T, ("frames", 0, "file_path")),
        (nerfstudio, T, ("frames", 0, "depth_file_path")),
        (nerfstudio, T, ("ply_file_path",)),
        (blender, B, ("frames", 0, "file_path")),
        (multicam, C, ("cameras", 0, "images")),
        (multicam, C, ("cameras", 0, "masks")),
        (dycheck, "splits/train.json", ("frame_names", 0)),
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path, maker, file, keys, name):
    Shelf(tmp_path).view("outside.png")
    folder = tmp_path / "data"
    maker(folder)
    path = folder / file
    content = json.loads(path.read_text())
    content.pop("train_filenames", None)
    if file.startswith("splits"):  # So that only the name is wrong.
        metadata = json.loads((folder / "metadata.json").read_text())
        metadata[name] = metadata["0"]
        (folder / "metadata.json").write_text(json.dumps(metadata))
    at(content, *keys[:-1])[keys[-1]] = name
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"file name inside|expected a (file that exists|readable file)"):
        read_dataset(folder)


@pytest.mark.parametrize("maker", [blender, nerfstudio, dycheck, multicam])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe\x00", b'{"frames": NaN}', b"[" * 100_000, b'{"fps": Infinity}']
)
def test_broken_json_is_named(tmp_path, maker, content):
    maker(tmp_path)
    for path in sorted(tmp_path.rglob("*.json")):
        whole = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(InputError, match=path.name):
            read_dataset(tmp_path)
        path.write_bytes(whole)
    read_dataset(tmp_path)


@pytest.mark.parametrize("maker", [blender, nerfstudio, dycheck, colmap])
def test_a_missing_image_is_named(tmp_path, maker):
    maker(tmp_path)
    next(iter(sorted(tmp_path.rglob("1.png")))).unlink()
    with pytest.raises(InputError, match="a file that exists"):
        read_dataset(tmp_path)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), maker=st.sampled_from([blender, nerfstudio, dycheck, multicam]))
def test_any_value_in_any_place_is_an_input_error_or_a_data_set(tmp_path_factory, data, maker):
    folder = tmp_path_factory.mktemp("fuzz")
    maker(folder)
    path = data.draw(st.sampled_from(sorted(folder.rglob("*.json"))))
    content = json.loads(path.read_text())
    holder: object = content
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], (dict, list)) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    junk = (None, [], {}, [[]], [{}], True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x", "..", "\0")
    holder[key] = data.draw(st.one_of(st.sampled_from(junk), st.integers(), st.floats(), st.text(max_size=5)))
    path.write_text(json.dumps(content))
    try:
        dataset = read_dataset(folder)
    except InputError:
        return
    for view in dataset.views:
        assert np.isfinite(view.time)
        assert bool(view.camera.cam_from_world.isfinite().all() and view.camera.K.isfinite().all())


@pytest.mark.parametrize("angle", [0, 3.2, -1, "wide", None])
def test_a_wrong_angle_is_named(tmp_path, angle):
    blender(tmp_path)
    path = tmp_path / B
    content = json.loads(path.read_text())
    del content["fl_x"]
    del content["fl_y"]
    read_dataset(tmp_path)
    path.write_text(json.dumps({**content, "camera_angle_x": angle}))
    with pytest.raises(InputError, match="camera_angle_x"):
        read_dataset(tmp_path)


def test_wrong_llff_tables(tmp_path):
    llff(tmp_path)
    path = tmp_path / "poses_bounds.npy"
    table = read_array(path)

    def refused(array: np.ndarray, named: str) -> None:
        write_array(path, array)
        with pytest.raises(InputError, match=named):
            read_dataset(tmp_path)

    refused(table[:, :16], r"\[cameras, 17\]")
    refused(table.astype(np.int64), r"\[cameras, 17\]")
    refused(np.repeat(table, 2, 0), "1 poses, one for each")
    refused(np.where(np.arange(17) == 3, np.nan, table), "NaN")
    refused(np.where(np.arange(17) == 4, 0.0, table), "row 0: height")
    refused(table * 2, "row 0: expected a rigid matrix")
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="poses_bounds"):
        read_dataset(tmp_path)


def test_what_no_reader_knows(tmp_path):
    with pytest.raises(InputError, match=r"transforms_train\.json.*cameras\.json.*sparse/0.*poses_bounds\.npy.*video"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="nothing there"):
        read_dataset(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"a file \.txt"):
        read_dataset(tmp_path / "notes.txt")


CAMERA = random_camera(np.random.default_rng(0))


@pytest.mark.parametrize(
    "write", [write_blender, write_nerfstudio, write_colmap, write_dycheck, write_multicam, write_llff]
)
def test_writers_refuse_views_they_cannot_say(tmp_path, write):
    with pytest.raises(InputError, match="at least one view"):
        write(tmp_path, [])
    view = View("a", "train", tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match=r"views\[0\]\.camera"):
        write(tmp_path, [view])
    if write is not write_llff:  # It writes no file names.
        with pytest.raises(InputError, match=r"expected (a file inside|rgb/1x)"):
            write(tmp_path, [View("a", "train", tmp_path.parent / "a.png", camera=CAMERA)])


def test_writers_refuse_what_their_format_cannot_hold(tmp_path):
    path = tmp_path / "images" / "a.png"
    skewed = View("a", "train", path, camera=CAMERA, distortion=Lens(1, 1, 0, 0, skew=1))
    clip = View("a", "train", tmp_path / "images" / "a.mp4", camera=CAMERA, frame_index=0)
    for write in (write_blender, write_nerfstudio, write_colmap):
        with pytest.raises(InputError, match="without skew"):
            write(tmp_path, [skewed])
        with pytest.raises(InputError, match="a frame of a video"):
            write(tmp_path, [clip])
    with pytest.raises(InputError, match="principal point in the middle"):
        write_llff(tmp_path, [View("a", "train", path, camera=CAMERA)])
    square = random_camera(np.random.default_rng(1), square=True)
    moved = with_intrinsics_of(CAMERA, square)
    with pytest.raises(InputError, match="a camera that moves"):
        write_llff(tmp_path, [View(str(n), "train", path, camera=camera) for n, camera in enumerate((square, moved))])
    with pytest.raises(InputError, match="one lens and size"):
        write_multicam(
            tmp_path, [View(str(n), "train", path, camera=camera) for n, camera in enumerate((square, CAMERA))]
        )
    with pytest.raises(InputError, match="a multiple of"):
        write_dycheck(tmp_path, [View("a", "train", tmp_path / "rgb/1x/a.png", 0.01, CAMERA)])
    with pytest.raises(InputError, match="camera_id"):
        write_dycheck(tmp_path, [View("a", "train", tmp_path / "rgb/1x/a.png", 0.0, CAMERA, "left")])
