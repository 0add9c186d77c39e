"""The benchmark scenes never change: figures measured on different days must mean the same work."""

from __future__ import annotations

import pytest
import torch

from tests.bench.scenes import make_scene

# Rows 0 (object), 75 (ground) and 99 (floater) of 100 surfels with seed 5, and the sum of the whole array.
GOLDEN = {
    "centers": ([-0.446784, -0.737846, -0.138371, -1.823992, 1.2, -0.487533, -0.961694, -0.733674, 1.547292], 32.6432),
    "rotations_wxyz": (
        [
            *(0.613947, 0.585363, -0.521603, 0.091372),
            *(-0.083908, -0.18656, 0.72901, -0.653222),
            *(0.121884, 0.153643, 0.766096, 0.612074),
        ],
        78.84,
    ),
    "scales": ([0.244848, 0.480503, 1.382895, 0.747496, 0.518136, 0.544847], 102.257),
    "opacities": ([0.913164, 0.045437, 0.646052], 67.3483),
    "features": (
        [0.006327, 0.206683, 0.350814, 0.897623, 0.269614, 1.9e-05, 0.486928, 0.100059, 0.007028],
        130.058,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_numbers_are_the_recorded_ones(name: str):
    rows, total = GOLDEN[name]
    array = make_scene(100, 48, 32, seed=5).surfels.tensors()[name]
    torch.testing.assert_close(array[[0, 75, 99]].flatten(), torch.tensor(rows), atol=1e-6, rtol=0)
    assert float(array.double().sum()) == pytest.approx(total, abs=6e-4)


def test_the_camera_frames_the_object():
    scene = make_scene(1000, 48, 32)
    pixels, depth = scene.camera.project(scene.surfels.centers[:700])
    assert (depth > 1).all()
    assert (pixels > 0).all()
    assert (pixels < torch.tensor([48, 32])).all()


def test_only_the_seed_decides():
    first, again, other = (make_scene(50, 8, 8, seed=seed).surfels.centers for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
