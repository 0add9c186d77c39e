"""Assets from strangers: counts that lie, files cut short, bytes changed; refused in one line or read whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.editors.shapes import read_asset
from tests.editors.shapes.asset_files import SQUARE_OBJ, gaussians, packed_ply, splat_ply, square_ply
from tests.synthetic.conftest import _moving_asset


def _obj(path: Path) -> Path:
    path.write_text(SQUARE_OBJ)
    return path


def _glb(path: Path) -> Path:
    path.write_bytes(_moving_asset())
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "splats.ply": lambda path: splat_ply(path, gaussians(40), degree=1),
    "packed.ply": lambda path: packed_ply(path, gaussians(300)),
    "mesh.ply": square_ply,
    "mesh.obj": _obj,
    "moving.glb": _glb,
}


def _read_whole_or_refused(path: Path) -> bool:
    """Whether it was read; what was read is finite and can be drawn."""
    try:
        asset = read_asset(path, surfels=64)
    except InputError as refusal:
        error = refusal
    else:
        error = None
    if error is not None:
        assert "\n" not in str(error)
        return False
    state = asset.field.at(0.2)
    for tensor in state.tensors().values():
        assert bool(tensor.isfinite().all())
    assert bool((state.scales >= 0).all())
    assert bool(((state.opacities >= 0) & (state.opacities <= 1)).all())
    assert bool((state.rotations_wxyz.abs().amax(-1) > 0).all())
    return True


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(tmp_path: Path, name: str) -> None:
    assert _read_whole_or_refused(FILES[name](tmp_path / name))


@pytest.mark.parametrize("name", [name for name in FILES if name != "mesh.obj"])
def test_every_truncation_is_refused(tmp_path: Path, name: str) -> None:
    path = FILES[name](tmp_path / name)
    content = path.read_bytes()
    for length in [*range(0, len(content) - 1, max(1, len(content) // 40)), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_asset(path, surfels=64)


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_refused_or_read_whole(tmp_path: Path, name: str, changes: list[tuple[int, int]]) -> None:
    path = tmp_path / name
    if not path.exists():
        FILES[name](path)
        path.with_suffix(".whole").write_bytes(path.read_bytes())
    content = bytearray(path.with_suffix(".whole").read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(bytes(content))
    _read_whole_or_refused(path)


HEADER = "ply\nformat {order} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
SPLAT_COLUMNS = "".join(
    f"property float {name}\n"
    for name in (
        "f_dc_0",
        "f_dc_1",
        "f_dc_2",
        "opacity",
        "scale_0",
        "scale_1",
        "scale_2",
        *(f"rot_{i}" for i in range(4)),
    )
)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("count", [2**31, 10**10])
@pytest.mark.parametrize("what", ["splats", "faces", "mesh"])
def test_counts_are_checked_before_anything_is_allocated(tmp_path: Path, order: str, count: int, what: str) -> None:
    text = HEADER.format(order=order, count=3 if what == "faces" else count)
    text += SPLAT_COLUMNS if what == "splats" else ""
    if what != "splats":
        faces = count if what == "faces" else 1
        text += f"element face {faces}\nproperty list uchar int vertex_indices\n"
    path = tmp_path / "a.ply"
    rows = b"0 0 0\n1 0 0\n0 1 0\n" if order == "ascii" else b"\0" * 36
    path.write_bytes(text.encode() + b"end_header\n" + rows)
    tracemalloc.start()
    with pytest.raises(InputError, match="holds"):
        read_asset(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_endless_polygons_wild_indices_and_no_numbers_are_refused(tmp_path: Path) -> None:
    path = square_ply(tmp_path / "a.ply")
    content = bytearray(path.read_bytes())
    for corner in (4, 250, 255):
        wild = content.copy()
        wild[-4:] = corner.to_bytes(4, "little")
        path.write_bytes(bytes(wild))
        with pytest.raises(InputError, match="vertices 0 to 3"):
            read_asset(path)
    wild = content.copy()
    wild[-17] = 200  # corners of the polygon
    path.write_bytes(bytes(wild))
    with pytest.raises(InputError, match="corners"):
        read_asset(path)
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    with pytest.raises(InputError, match="vertices 1 to 3"):
        read_asset(tmp_path / "a.obj")
    (tmp_path / "a.obj").write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match="finite"):
        read_asset(tmp_path / "a.obj")
    (tmp_path / "a.obj").write_text("v 0 0 x\n")
    with pytest.raises(InputError, match="line 1"):
        read_asset(tmp_path / "a.obj")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n")
    with pytest.raises(InputError, match="area"):
        read_asset(tmp_path / "a.obj")


def test_splats_that_cannot_be_drawn_are_refused(tmp_path: Path) -> None:
    some = gaussians(5)
    for name, value in (("places", float("nan")), ("scales", float("inf")), ("turns", float("nan"))):
        wrong = {key: array.copy() for key, array in some.items()}
        wrong[name][2] = value
        with pytest.raises(InputError, match=r"a\.ply"):
            read_asset(splat_ply(tmp_path / "a.ply", wrong))


def test_missing_files_and_strange_kinds_say_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a readable file"):
        read_asset(tmp_path / "none.ply")
    with pytest.raises(InputError, match="readable"):
        read_asset(tmp_path / "none.glb")
    (tmp_path / "a.fbx").write_bytes(b"")
    with pytest.raises(InputError, match=r"a \.glb, \.ply, \.obj, \.splat, \.spz, \.sog or \.r4d, got \.fbx"):
        read_asset(tmp_path / "a.fbx")
    (tmp_path / "points.ply").write_bytes((HEADER.format(order="ascii", count=1) + "end_header\n0 0 0\n").encode())
    with pytest.raises(InputError, match="only points"):
        read_asset(tmp_path / "points.ply")
