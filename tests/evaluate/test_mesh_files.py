"""PLY and OBJ meshes, well and badly formed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.evaluate import read_mesh

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5], [0.1, 0.2, -3]])
TRIANGLES = [[0, 1, 2], [0, 2, 3], [1, 2, 4]]


def header(order: str, extra: str = "") -> str:
    return (
        f"ply\nformat {order} 1.0\ncomment made by hand\nelement vertex {len(VERTICES)}\nproperty float x\n"
        f"property float y\nproperty double z\n{extra}element face {len(TRIANGLES)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )


def binary(sign: str, order: str) -> bytes:
    body = b"".join(struct.pack(f"{sign}ffd", *row) for row in VERTICES)
    body += b"".join(struct.pack(f"{sign}Biii", 3, *row) for row in TRIANGLES)
    return header(order).encode() + body


def ascii_() -> bytes:
    rows = [" ".join(map(str, [*row, 255])) for row in VERTICES] + [" ".join(map(str, [3, *row])) for row in TRIANGLES]
    return (header("ascii", "property uchar red\n") + "\n".join(rows) + "\n").encode()


def obj() -> bytes:
    lines = ["# cube", *("v " + " ".join(map(str, row)) for row in VERTICES), "vn 0 0 1"]
    return "\n".join([*lines, "f 1/1/1 2//1 3 4", "f -4 -3 -1"]).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ply", binary("<", "binary_little_endian")),
        ("b.ply", binary(">", "binary_big_endian")),
        ("c.ply", ascii_()),
        ("d.obj", obj()),
    ],
)
def test_every_kind_gives_the_same_triangles(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    mesh = read_mesh(tmp_path / name)
    assert np.allclose(mesh.vertices, VERTICES)
    assert mesh.faces.tolist() == TRIANGLES


def test_polygons_of_several_sizes_are_cut_into_fans(tmp_path: Path) -> None:
    content = header("binary_little_endian").replace("face 3", "face 2").encode()
    content += b"".join(struct.pack("<ffd", *row) for row in VERTICES)
    content += struct.pack("<Biiii", 4, 0, 1, 2, 3) + struct.pack("<Biii", 3, 1, 2, 4)
    (tmp_path / "mixed.ply").write_bytes(content)
    assert read_mesh(tmp_path / "mixed.ply").faces.tolist() == TRIANGLES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plyx\nend_header\n",
        b"ply\nformat ascii 2.0\nend_header\n",
        header("ascii").replace("vertex 5", "vertex 900000000000").encode(),
        header("ascii").replace("vertex 5", "vertex -5").encode(),
        ascii_().replace(b"vertex_indices", b"corners"),
        binary("<", "binary_little_endian")[:-3],
        binary("<", "binary_little_endian").replace(struct.pack("<i", 4), struct.pack("<i", 40)),
        header("binary_little_endian").replace("face 3", "face 0").encode() + bytes(200),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.ply: expected") as caught:
        read_mesh(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.ply"):
        read_mesh(tmp_path / "none.ply")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4), st.booleans())
def test_any_damage_is_an_input_error_or_still_a_mesh(
    tmp_path_factory: pytest.TempPathFactory, at: int, patch: bytes, text: bool
) -> None:
    content = bytearray(ascii_() if text else binary("<", "binary_little_endian"))
    at %= len(content)
    content[at : at + len(patch)] = patch
    path = tmp_path_factory.getbasetemp() / "fuzzed.ply"
    path.write_bytes(content)
    mesh, name = None, "fuzzed.ply"
    try:
        mesh = read_mesh(path)
    except InputError as error:
        name = Path(error.what).name
    assert name == "fuzzed.ply"
    assert mesh is None or (mesh.faces.max() < len(mesh.vertices) and np.isfinite(mesh.vertices).all())
