"""Images: what is written comes back, whatever the depth; what is stored turned comes upright, palettes as colour."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from recon4d.core import InputError
from recon4d.data.images import image_size, read_array, read_arrays, read_image, write_array, write_png

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([None, 3, 4])).map(
    lambda shape: shape if shape[2] else shape[:2]
)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.uint16]), shape=SHAPES)
def test_png_round_trip_is_exact(tmp_path_factory, data, dtype, shape):
    pixels = data.draw(hnp.arrays(dtype, shape))
    path = tmp_path_factory.mktemp("png") / "image.png"
    write_png(path, pixels)
    first = path.read_bytes()
    found = read_image(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, pixels)
    assert image_size(path) == (shape[1], shape[0])
    write_png(path, pixels)
    assert path.read_bytes() == first
    assert sorted(path.parent.iterdir()) == [path], "temporary files are left behind"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_exif_orientation_is_applied_as_pillow_does(tmp_path, orientation, deep):
    rng = np.random.default_rng(orientation)
    pixels = rng.integers(0, 256, (5, 3, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path, exif=exif)
    from PIL import ImageOps

    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    if deep:  # The same file with 16-bit samples: swap header and pixel data, keep the EXIF chunk.
        shallow = path.read_bytes()
        write_png(path, pixels.astype(np.uint16) * 257)
        content = path.read_bytes()
        start = shallow.index(b"eXIf") - 4
        chunk = shallow[start : start + 12 + int.from_bytes(shallow[start : start + 4], "big")]
        path.write_bytes(content[:33] + chunk + content[33:])
        expected = expected.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == (expected.shape[1], expected.shape[0])


def test_palette_gray_and_alpha_modes(tmp_path):
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (6, 7, 3)).astype(np.uint8))
    gray = rgb.convert("L")
    cases = {
        "palette.png": (rgb.quantize(8), np.asarray(rgb.quantize(8).convert("RGB"))),
        "bits.png": (gray.convert("1"), np.asarray(gray.convert("1").convert("L"))),
        "gray-alpha.png": (gray.convert("LA"), np.asarray(gray.convert("LA").convert("RGBA"))),
        "wide.tiff": (
            Image.fromarray(np.asarray(gray).astype(np.int32) * 200),
            np.asarray(gray).astype(np.uint16) * 200,
        ),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        found = read_image(tmp_path / name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_what_is_no_image_is_refused(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(whole, "PNG")
    write_png(tmp_path / "deep.png", np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(np.uint16))
    deep = (tmp_path / "deep.png").read_bytes()
    contents = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"not an image",
        "short.png": whole.getvalue()[:-800],
        "deep.png": deep[: len(deep) // 2],
    }
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name)
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="floating-point"):
        read_image(tmp_path / "float.tiff")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2), np.float32), np.zeros((0, 2), np.uint8), np.zeros(3, np.uint8)],
)
def test_pixels_that_png_cannot_hold_are_refused(tmp_path, pixels):
    with pytest.raises(InputError, match="pixels"):
        write_png(tmp_path / "image.png", pixels)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(InputError, match="create the folder"):
        write_png(tmp_path / "nowhere" / "image.png", np.zeros((2, 2), np.uint8))


@settings(deadline=None, max_examples=25)
@given(array=hnp.arrays(st.sampled_from([np.float32, np.float64, np.int32]), hnp.array_shapes(max_dims=3, max_side=5)))
def test_array_round_trip_is_exact(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("npy") / "array.npy"
    write_array(path, array)
    first = path.read_bytes()
    found = read_array(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    write_array(path, array)
    assert path.read_bytes() == first


def test_hostile_arrays_are_refused(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        read_array(path)
    write_array(path, np.zeros((4, 4)))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="127 of 128 bytes"):
        read_array(path)
    path.write_bytes(content.replace(b"(4, 4)", b"(9999999999, 9999999999)"))
    with pytest.raises(InputError, match=r"array\.npy"):
        read_array(path)
    path.write_bytes(content[:20])
    with pytest.raises(InputError, match=r"array\.npy"):
        read_array(path)
    with pytest.raises(InputError, match="nothing"):
        read_array(tmp_path / "nothing.npy")


def test_hostile_archives_are_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(2, 3), b=np.ones(4, np.float32))
    found = read_arrays(path)
    np.testing.assert_array_equal(found["a"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["b"], np.ones(4, np.float32))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"arrays\.npz"):
            read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        huge = zipfile.ZipInfo("a.npy")
        archive.writestr(huge, b"x")
        huge.file_size = 5 << 30  # The central directory, which is written on closing, announces 5 GiB.
    with pytest.raises(InputError, match="4 GiB"):
        read_arrays(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="Python objects"):
        read_arrays(path)
