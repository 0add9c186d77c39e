"""Cameras: OpenCV axes, pixel centres at +0.5, rays that project back to their pixels, clear refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import Camera, InputError, rigid

EXAMPLES = settings(deadline=None, max_examples=60)

# The package's annotations are enforced in tests; these tests are about what a caller without that sees.
unchecked = pytest.mark.usefixtures("no_shape_checks")


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Any pose, unequal focal lengths, a principal point off the centre or outside the image."""
    number = st.floats(-2, 2, width=32)
    focal = st.floats(5, 50)
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    K = torch.tensor(
        [[draw(focal), 0, draw(st.floats(-5, 15))], [0, draw(focal), draw(st.floats(-5, 15))], [0, 0, 1]],
        dtype=torch.float64,
    )
    twist = torch.tensor([draw(number) for _ in range(6)], dtype=torch.float64)
    return Camera(K, rigid.se3_exp(twist), width, height)


def pixel_centers(camera: Camera) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    return torch.stack([columns, rows], -1).double() + 0.5


@EXAMPLES
@given(cameras(), st.floats(0.1, 10))
def test_rays_project_to_their_pixels(camera: Camera, depth: float):
    center, directions = camera.rays()
    assert directions.shape == (camera.height, camera.width, 3)
    pixels, depths = camera.project(center + depth * directions)
    torch.testing.assert_close(pixels, pixel_centers(camera), rtol=0, atol=1e-11)
    torch.testing.assert_close(depths, torch.full_like(depths, depth), rtol=0, atol=1e-13)


@EXAMPLES
@given(cameras())
def test_project_is_the_textbook_formula(camera: Camera):
    point = torch.tensor([0.3, -0.2, 1.0, 1.0], dtype=torch.float64)
    homogeneous = camera.K @ (camera.cam_from_world @ point)[:3]
    pixel, depth = camera.project(point[:3])
    assert depth.item() == pytest.approx(homogeneous[2].item(), abs=1e-14)
    if abs(depth.item()) > 1e-3:
        torch.testing.assert_close(pixel, homogeneous[:2] / homogeneous[2], rtol=1e-10, atol=1e-10)


@EXAMPLES
@given(cameras())
def test_center_and_inverse(camera: Camera):
    product = camera.world_from_cam @ camera.cam_from_world
    torch.testing.assert_close(product, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-14)
    torch.testing.assert_close(camera.center_in_world, camera.world_from_cam[:3, 3], rtol=0, atol=1e-14)
    assert camera.project(camera.center_in_world)[1].item() == pytest.approx(0, abs=1e-14)


@EXAMPLES
@given(cameras(), st.integers(1, 20), st.integers(1, 20))
def test_resized_sees_the_same_through_other_pixels(camera: Camera, width: int, height: int):
    resized = camera.resized(width, height)
    assert (resized.width, resized.height) == (width, height)
    points = camera.center_in_world + camera.rays()[1].reshape(-1, 3)
    before, after = camera.project(points)[0], resized.project(points)[0]
    factors = torch.tensor([width / camera.width, height / camera.height], dtype=torch.float64)
    torch.testing.assert_close(after, before * factors, rtol=1e-12, atol=1e-11)
    back = resized.resized(camera.width, camera.height)
    torch.testing.assert_close(back.K, camera.K, rtol=1e-14, atol=0)
    assert torch.equal(back.cam_from_world, camera.cam_from_world)


def test_look_at_has_opencv_axes():
    """Seen from -y with z up: x is to the right, z is up, and image y runs down."""
    camera = Camera.look_at([0.0, -4.0, 0.0], width=200, height=100, fov_y_degrees=90.0, dtype=torch.float64)
    expected = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(camera.cam_from_world[:3, :3], expected, rtol=0, atol=1e-15)
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 4]], dtype=torch.float64)
    pixels, depths = camera.project(corners)
    # 90 degrees over 100 pixels: the focal length is 50 pixels, and one unit at depth 4 is 12.5 pixels.
    expected_pixels = torch.tensor([[100.0, 50], [112.5, 50], [100, 37.5], [100, 0]], dtype=torch.float64)
    torch.testing.assert_close(pixels, expected_pixels, rtol=0, atol=1e-12)
    torch.testing.assert_close(depths, torch.full_like(depths, 4), rtol=0, atol=1e-14)


@EXAMPLES
@given(st.tuples(*[st.floats(-5, 5, width=32)] * 3), st.floats(0.1, 100))
def test_look_at_keeps_target_centred_and_up_upwards(eye: tuple[float, ...], up_length: float):
    target = (7.0, 0.5, -0.3)
    up = (0.0, 0.0, up_length)
    camera = Camera.look_at(list(eye), target, up=up, width=31, height=17, dtype=torch.float64)
    rotation = camera.cam_from_world[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-14)
    assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(camera.center_in_world, torch.tensor(eye, dtype=torch.float64), rtol=0, atol=1e-13)
    at_target = torch.tensor(target, dtype=torch.float64)
    pixel, depth = camera.project(at_target)
    assert pixel.tolist() == pytest.approx([15.5, 8.5], abs=1e-10)
    assert depth.item() == pytest.approx((at_target - torch.tensor(eye, dtype=torch.float64)).norm().item())
    above, _ = camera.project(at_target + torch.tensor([0.0, 0.0, 0.1], dtype=torch.float64))
    assert above[0].item() == pytest.approx(15.5, abs=1e-9)
    assert above[1].item() < pixel[1].item()


@pytest.mark.parametrize("fov", [1.0, 45.0, 120.0, 179.0])
def test_the_field_of_view_is_vertical_and_full(fov: float):
    camera = Camera.look_at([0.0, -1.0, 0.0], fov_y_degrees=fov, width=640, height=480, dtype=torch.float64)
    edge = torch.tensor([0.0, 0.0, math.tan(math.radians(fov) / 2)], dtype=torch.float64)
    assert camera.project(edge)[0].tolist() == pytest.approx([320, 0], abs=1e-9)
    assert camera.K[0, 0].item() == camera.K[1, 1].item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_are_kept(dtype: torch.dtype):
    camera = Camera.look_at([3.0, 1.0, 2.0], dtype=dtype)
    center, directions = camera.rays()
    pixels, depths = camera.project(torch.zeros(2, 5, 3, dtype=dtype))
    kinds = {camera.K.dtype, camera.world_from_cam.dtype, center.dtype, directions.dtype, pixels.dtype, depths.dtype}
    assert kinds == {dtype}
    assert pixels.shape == (2, 5, 2)
    assert depths.shape == (2, 5)
    other = torch.float64 if dtype == torch.float32 else torch.float32
    converted = camera.to(other)
    assert converted.K.dtype == converted.cam_from_world.dtype == other
    assert (converted.width, converted.height) == (camera.width, camera.height)


def test_gradients():
    camera = Camera.look_at([3.0, 1.0, 2.0], width=3, height=2, dtype=torch.float64)

    def everything(K: Tensor, cam_from_world: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        changed = Camera(K, cam_from_world, 3, 2)
        return *changed.project(points), *changed.rays(), changed.world_from_cam, changed.resized(7, 5).K

    points = torch.tensor([[0.1, 0.2, -0.3], [-0.2, 0.0, 0.4]], dtype=torch.float64)
    inputs = (camera.K, camera.cam_from_world, points)
    assert torch.autograd.gradcheck(everything, tuple(a.requires_grad_() for a in inputs))


@unchecked
@pytest.mark.parametrize("size", [0, -3, 4.0, True, "4", None, np.float64(3)])
def test_sizes_that_are_no_whole_positive_numbers_are_refused(size: object):
    good = Camera.look_at([3.0, 1.0, 2.0], width=4, height=4)
    with pytest.raises(InputError, match=r"Camera\.width: expected a whole number of pixels >= 1"):
        Camera(good.K, good.cam_from_world, size, 4)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Camera\.height"):
        Camera.look_at([3.0, 1.0, 2.0], height=size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Camera\.height"):
        good.resized(4, size)  # type: ignore[arg-type]


@unchecked
@pytest.mark.parametrize("which", ["K", "cam_from_world"])
@pytest.mark.parametrize("bad", [torch.eye(2), torch.eye(3).int(), torch.zeros(1, 4, 4), np.eye(4), None])
def test_matrices_of_another_shape_or_kind_are_refused(which: str, bad: object):
    matrices = {"K": torch.eye(3), "cam_from_world": torch.eye(4), which: bad}
    with pytest.raises(InputError, match=rf"Camera\.{which}: expected a floating-point tensor"):
        Camera(**matrices, width=4, height=4)  # type: ignore[arg-type]


def test_matrices_of_two_types_are_refused():
    with pytest.raises(InputError, match=r"Camera\.cam_from_world: expected the type and device of K"):
        Camera(torch.eye(3), torch.eye(4).double(), 4, 4)


@pytest.mark.parametrize(
    ("eye", "target", "up"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]),
        ([0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
        ([0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1e6]),
        ([0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([math.nan, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
        ([math.inf, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
    ],
)
def test_look_at_refuses_views_without_a_direction(eye: list[float], target: list[float], up: list[float]):
    for kind in (list, lambda values: torch.tensor(values, dtype=torch.float32)):
        with pytest.raises(InputError, match="eye apart from target and up not parallel"):
            Camera.look_at(kind(eye), kind(target), up=kind(up))


def test_the_length_of_up_does_not_matter():
    tiny = Camera.look_at([3.0, 1.0, 2.0], up=[0.0, 0.0, 1e-12], dtype=torch.float64)
    usual = Camera.look_at([3.0, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(tiny.cam_from_world, usual.cam_from_world, rtol=0, atol=1e-14)


@unchecked
def test_look_at_refuses_points_of_another_size():
    with pytest.raises(InputError, match=r"three numbers each, got \[2\] and \[3\] and \[3\]"):
        Camera.look_at([1.0, 2.0])


@pytest.mark.parametrize("fov", [0.0, 180.0, -5.0, 360.0, math.nan])
def test_impossible_fields_of_view_are_refused(fov: float):
    with pytest.raises(InputError, match="fov_y_degrees: expected an angle between 0 and 180"):
        Camera.look_at([3.0, 1.0, 2.0], fov_y_degrees=fov)
