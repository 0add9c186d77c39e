"""Memory that is kept from picture to picture is bounded, as the program wishes."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recon4d.core import Camera, InputError, Surfels
from recon4d.render import keep_idle_memory, rasterize

cpu = pytest.importorskip("recon4d.render.cpu", reason="the native module is not built")
SIDE = 512
STATM = Path("/proc/self/statm")


@pytest.fixture(autouse=True)
def usual_bound() -> Iterator[None]:
    """The bound belongs to the whole process."""
    yield
    keep_idle_memory(1024)


def draw(side: int, views: int = 1) -> None:
    """Draw some pictures of a surfel, and drop them."""
    one = Surfels(
        centers=torch.zeros(1, 3),
        rotations_wxyz=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 2), 0.3),
        opacities=torch.ones(1),
        features=torch.ones(1, 3),
    )
    camera = Camera.look_at([0.0, 0.0, 3.0], up=[0.0, 1.0, 0.0], width=side, height=side)
    rasterize(one, [camera] * views, backend="cpu")


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * mmap.PAGESIZE


def idle_workspaces() -> int:
    return sum(one.bytes for one in cpu._pool)


@pytest.mark.skipif(not STATM.exists(), reason="the system does not tell what a process holds")
def test_what_many_pictures_took_is_given_back_at_once():
    draw(SIDE)
    planes = 16 * 10 * SIDE * SIDE * 4
    draw(SIDE, views=16)
    before = resident()
    keep_idle_memory(0)
    assert before - resident() > 0.8 * planes
    assert len(cpu._pool) == 1


@pytest.mark.skipif(not STATM.exists(), reason="the system does not tell what a process holds")
def test_no_more_than_the_bound_is_kept_afterwards():
    keep_idle_memory(1)
    draw(64)
    before = resident()
    for _ in range(3):
        draw(SIDE, views=8)
    assert resident() - before < 8 * 10 * SIDE * SIDE * 4
    assert len(cpu._pool) == 1 or idle_workspaces() <= 1 << 20


def test_the_same_memory_is_used_again_below_the_bound():
    keep_idle_memory(1024)
    draw(SIDE)
    workspace = cpu.last_workspace()
    draw(SIDE)
    assert cpu.last_workspace() is workspace


def test_a_negative_bound_is_refused():
    with pytest.raises(InputError, match="0 or more"):
        keep_idle_memory(-1)
