"""Any numbers at all: a clear error, or the right image.  Never a NaN, never a crash, never silent corruption."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d import Camera, InputError, Surfels
from tests.render.helpers import IMAGES, Backend, Inputs, frontal_camera, random_surfels, run

REFERENCE = Backend("reference")
FUZZ = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# Numbers with a reputation, next to ordinary ones.
LENGTHS = st.sampled_from([0.0, 1e-45, 1e-38, 1e-30, 1e-12, 1e-6, 1e-3, 0.1, 0.3, 1.0, 3.0, 30.0, 1e4, 1e8, 1e15, 1e30])
SIGNED = st.tuples(LENGTHS, st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1])
COORDINATES = st.one_of(st.floats(-2, 2, width=32), SIGNED)
DEPTHS = st.one_of(st.floats(0.0625, 8, width=32), st.sampled_from([-1.0, 0.0, 0.0099, 0.01, 0.0101, 0.02, 1e4, 1e15]))
QUATERNION_PARTS = st.one_of(
    st.floats(-1, 1, width=32), st.sampled_from([0.0, 1e-45, 1e-30, 1e-20, 1e-10, 1e-6, 1e6, 1e15])
)
OPACITIES = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1e-45, 1e-10, 0.00392156862745098, 0.999, 1.0]))


def surfel_lists(max_size: int = 5) -> st.SearchStrategy[Surfels]:
    one = st.tuples(
        st.tuples(COORDINATES, COORDINATES, DEPTHS),
        st.tuples(*[QUATERNION_PARTS] * 4),
        st.tuples(LENGTHS, LENGTHS),
        OPACITIES,
        st.tuples(st.floats(0, 1, width=32), st.floats(-3, 3, width=32)),
    )

    def build(rows: list[tuple]) -> Surfels:
        columns = [torch.tensor(column, dtype=torch.float32) for column in zip(*rows, strict=True)]
        return Surfels(*columns[:4], features=columns[4])

    return st.lists(one, min_size=1, max_size=max_size).map(build)


def sensitive(inputs: Inputs, images: dict[str, Tensor]) -> Tensor:
    """[H, W] pixels whose image changes when the inputs change in their last digits: there float32 may differ.

    A surfel that just reaches a pixel, two that trade places, a plane seen at a hair's breadth.
    """
    changes = torch.zeros(inputs.height, inputs.width, dtype=torch.float64)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)

        def jitter(tensor: Tensor, generator: torch.Generator = generator) -> Tensor:
            noise = 2 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64) - 1
            return tensor.double() * (1 + 1e-5 * noise)

        moved = {name: jitter(array) for name, array in inputs.surfels.tensors().items()}
        moved["opacities"] = moved["opacities"].clamp_max(1)
        K = inputs.K.double().clone()
        K[:2] = jitter(K[:2])
        other = Inputs.of(Surfels(**moved), Camera(K, inputs.cam_from_world.double(), inputs.width, inputs.height))
        other_images = run(REFERENCE, other, torch.float64).images
        for name in IMAGES:
            size = images[name].abs().clamp_min(1).amax(-1)
            changes = torch.maximum(changes, (images[name] - other_images[name]).abs().amax(-1) / size)
    return changes > 1e-4


@given(
    surfels=surfel_lists(), width=st.integers(1, 9), height=st.integers(1, 7), focal=st.sampled_from([1.0, 6.0, 40.0])
)
@FUZZ
def test_any_scene_is_drawn_or_refused(backend: Backend, surfels: Surfels, width: int, height: int, focal: float):
    inputs = Inputs.of(surfels, frontal_camera(width, height, focal=focal, dtype=torch.float32))
    try:
        expected = run(REFERENCE, inputs, torch.float64).images
    except InputError:
        with pytest.raises(InputError):
            run(backend, inputs, torch.float32)
        return
    norms = surfels.rotations_wxyz.double().norm(dim=1)
    if bool(((norms < 1e-11) | (norms > 1e18)).any()):
        # Has an image in float64, but the square of its norm may overflow in float32, which may be refused.
        try:
            found = run(backend, inputs, torch.float32)
        except InputError:
            return
    else:
        found = run(backend, inputs, torch.float32)
    for name, image in found.images.items():
        assert torch.isfinite(image).all(), name
    assert found.images["alpha"].min() >= 0
    assert found.images["alpha"].max() <= 1
    assert found.images["normal"].norm(dim=-1).max() <= 1 + 1e-5
    assert (found.images["depth"] >= 0).all()
    assert (found.radii >= 0).all()
    assert (found.radii <= max(width, height)).all()
    for name, gradient in found.gradients.items():
        assert not gradient.isnan().any(), name

    stable = ~sensitive(inputs, expected)
    for name in IMAGES:
        difference = (found.images[name] - expected[name]).abs().amax(-1)
        size = expected[name].abs().clamp_min(1).amax(-1)
        assert (difference <= 1e-3 * size)[stable].all(), name


@given(surfels=surfel_lists(3), bad=st.sampled_from([math.nan, math.inf, -math.inf]), data=st.data())
@FUZZ
def test_one_bad_number_anywhere_is_refused(backend: Backend, surfels: Surfels, bad: float, data: st.DataObject):
    ordinary = random_surfels(len(surfels))
    surfels = surfels.replace(rotations_wxyz=ordinary.rotations_wxyz)  # no zero quaternion to be found first
    name = data.draw(st.sampled_from(sorted(surfels.tensors())))
    array = surfels.tensors()[name].clone()
    array.view(-1)[data.draw(st.integers(0, array.numel() - 1))] = bad
    with pytest.raises(InputError) as caught:
        backend(surfels.replace(**{name: array}), frontal_camera(5, 4, dtype=torch.float32))
    assert caught.value.what == f"surfels.{name}"


def placed(values: Callable[[Tensor], Tensor], name: str) -> Surfels:
    """Surfels before a frontal camera, with one array changed."""
    surfels = random_surfels(40, seed=2)
    surfels = surfels.replace(centers=surfels.centers + torch.tensor([0.0, 0.0, 3.0]))
    return surfels.replace(**{name: values(surfels.tensors()[name])})


@pytest.mark.parametrize("factor", [1e-45, 1e-40, 1e-30, 1e-20, 1e3, 1e8, 1e15, 1e20, 1e30])
@pytest.mark.parametrize("name", ["scales", "centers", "features"])
def test_denormal_and_huge_numbers(backend: Backend, name: str, factor: float):
    surfels = placed(lambda array: (array.double() * factor).float(), name)
    inputs = Inputs.of(surfels, frontal_camera(20, 16, dtype=torch.float32))
    found = run(backend, inputs, torch.float32)
    assert all(torch.isfinite(image).all() for image in found.images.values())
    assert not any(gradient.isnan().any() for gradient in found.gradients.values())
    if name == "centers" and factor > 1e15:  # squares of lengths overflow, planes lose their slope
        return
    expected = run(REFERENCE, inputs, torch.float64).images
    stable = ~sensitive(inputs, expected)
    assert float(stable.double().mean()) > 0.5
    for image, reference in expected.items():
        wrong = ((found.images[image] - reference).abs() > 1e-3 * reference.abs().clamp_min(1))[stable]
        assert not wrong.any(), f"{image}: {int(wrong.sum())} of {wrong.numel()}"


@pytest.mark.parametrize("factor", [1e-11, 1e-6, 1e6, 1e15, 1e18])
def test_quaternions_of_any_length_that_can_be_normalised(backend: Backend, factor: float):
    surfels = placed(lambda array: array * factor, "rotations_wxyz")
    view = frontal_camera(20, 16, dtype=torch.float32)
    plain = placed(lambda array: array, "rotations_wxyz")
    for image in IMAGES:
        first, second = getattr(backend(surfels, view), image), getattr(backend(plain, view), image)
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


@given(
    fx=st.sampled_from([1e-6, 1e-2, 1.0, 50.0, 1e5]),
    fy=st.sampled_from([1e-6, 1e-2, 1.0, 50.0, 1e5]),
    cx=st.sampled_from([-1e6, -3.0, 0.0, 4.5, 1e6]),
    cy=st.sampled_from([-1e6, -3.0, 0.0, 4.5, 1e6]),
)
@settings(FUZZ, max_examples=20)
def test_any_intrinsics(backend: Backend, fx: float, fy: float, cx: float, cy: float):
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float32)
    inputs = Inputs.of(placed(lambda array: array, "scales"), Camera(K, torch.eye(4), 9, 8))
    expected = run(REFERENCE, inputs, torch.float64).images
    found = run(backend, inputs, torch.float32)
    stable = ~sensitive(inputs, expected)
    for name in IMAGES:
        assert torch.isfinite(found.images[name]).all()
        difference = (found.images[name] - expected[name]).abs().amax(-1)
        assert (difference <= 1e-3 * expected[name].abs().clamp_min(1).amax(-1))[stable].all(), name
    for name, gradient in found.gradients.items():
        assert not gradient.isnan().any(), name


@given(
    alpha_min=st.sampled_from([1e-30, 1e-6, 1 / 255, 0.1, 0.5]),
    alpha_max=st.sampled_from([0.6, 0.9, 0.999, 1.0]),
    min_transmittance=st.sampled_from([0.0, 1e-30, 1e-4, 0.3, 0.9]),
    near=st.sampled_from([1e-6, 0.01, 1.0, 3.1]),
)
@FUZZ
def test_any_limits(backend: Backend, alpha_min: float, alpha_max: float, min_transmittance: float, near: float):
    limits = {"alpha_min": alpha_min, "alpha_max": alpha_max, "min_transmittance": min_transmittance, "near": near}
    assume(alpha_min < alpha_max)
    surfels = placed(lambda array: 3 * array, "scales").to(torch.float64)
    inputs = Inputs.of(surfels, frontal_camera(9, 8))
    expected, found = run(REFERENCE, inputs, torch.float64, **limits), run(backend, inputs, torch.float64, **limits)
    for name in IMAGES:
        torch.testing.assert_close(found.images[name], expected.images[name], rtol=1e-9, atol=1e-9)
    for name, gradient in expected.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-6, atol=1e-6 * float(gradient.abs().max()))
