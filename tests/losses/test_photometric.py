"""Colour, structure and mask losses: hand values, perfect inputs, gradients, and an independent SSIM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.losses import color_error, dssim, mask_error
from recon4d.losses._blur import RADIUS, SIGMA, blur


def images(seed: int, height: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.rand(2, height, width, 3, generator=generator, dtype=torch.float64).to(dtype)
    return first, second


def test_color_error_by_hand():
    image = torch.tensor([[[0.0, 0.5, 1.0], [0.2, 0.2, 0.2]]])
    target = torch.tensor([[[0.3, 0.5, 0.7], [0.2, 0.2, 0.5]]])
    assert color_error(image, target).item() == pytest.approx(0.9 / 6)
    weight = torch.tensor([[[1.0], [3.0]]])
    assert color_error(image, target, weight).item() == pytest.approx((0.6 + 3 * 0.3) / 12)
    assert color_error(image, target, torch.zeros(1, 2, 1)).item() == 0.0


def test_mask_error_by_hand():
    alpha, mask = torch.tensor([[[0.25], [1.0]]]), torch.tensor([[[1.0], [1.0]]])
    assert mask_error(alpha, mask).item() == pytest.approx(0.375)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (40, 41), (80, 95)])
def test_blur_is_the_convolution(size: tuple[int, int]):
    planes = torch.rand(2, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kernel = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    window = torch.from_numpy(np.outer(kernel, kernel) / kernel.sum() ** 2)
    expected = torch.nn.functional.conv2d(planes[:, None], window[None, None], padding=RADIUS)[:, 0]
    torch.testing.assert_close(blur(planes), expected, atol=1e-14, rtol=0)


def test_blur_gradients():
    planes = torch.rand(2, 13, 45, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(blur, (planes,))
    assert torch.autograd.gradgradcheck(blur, (torch.rand(1, 5, 6, dtype=torch.float64, requires_grad=True),))


def test_dssim_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    first, second = images(3, 64, 52)
    # Far from the border both see the same windows, and skimage crops its mean there.
    padded = [torch.nn.functional.pad(x.movedim(-1, 0), (5, 5, 5, 5)).movedim(0, -1) for x in (first, second)]
    score, full = structural_similarity(
        *(x.numpy() for x in padded),
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=SIGMA,
        use_sample_covariance=False,
        truncate=RADIUS / SIGMA,
        full=True,
    )
    assert full.shape == (74, 62, 3)
    assert dssim(first, second).item() == pytest.approx((1 - full[5:-5, 5:-5].mean()) / 2, abs=1e-6)
    assert score == pytest.approx(full[5:-5, 5:-5].mean())


def test_dssim_of_flat_images_by_hand():
    # Without structure and away from the border only the luminance term is left; black against white is 0.5 there.
    black, white = torch.zeros(60, 60, 3, dtype=torch.float64), torch.ones(60, 60, 3, dtype=torch.float64)
    similarity = 0.01**2 / (1 + 0.01**2)
    # At the border windows see less of the white, and its edge as structure: the mean is near but below.
    assert dssim(black, white).item() == pytest.approx(0.5 - 0.5 * similarity, abs=2e-3)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**20), height=st.integers(1, 30), width=st.integers(1, 90))
def test_dssim_is_bounded_symmetric_and_zero_for_equals(seed: int, height: int, width: int):
    first, second = images(seed, height, width)
    there, back = dssim(first, second), dssim(second, first)
    assert 0 <= there.item() <= 1
    assert there.item() == pytest.approx(back.item(), abs=1e-12)
    assert abs(dssim(first, first).item()) < 1e-12
    assert color_error(first, first).item() == 0.0
    assert mask_error(first[..., :1], first[..., :1]).item() == 0.0


def test_gradients():
    first, second = images(5, 12, 14)
    weight = torch.rand(12, 14, 1, dtype=torch.float64)
    first.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: dssim(x, second), (first,))
    assert torch.autograd.gradcheck(lambda x: color_error(x, second), (first,))
    assert torch.autograd.gradcheck(lambda x: color_error(x, second, weight), (first,))
    assert torch.autograd.gradcheck(
        lambda x: mask_error(x, second[..., :1]), (first[..., :1].detach().requires_grad_(),)
    )


def test_single_precision_is_enough():
    first, second = images(9, 100, 120, torch.float32)
    exact = dssim(first.double(), second.double()).item()
    # Observed 1e-8.
    assert dssim(first, second).item() == pytest.approx(exact, abs=1e-6)
    assert abs(dssim(first, first).item()) < 1e-6


def test_inputs_are_left_alone():
    first, second = images(11, 20, 20)
    copies = first.clone(), second.clone()
    first.requires_grad_()
    dssim(first, second).backward()
    assert torch.equal(first.detach(), copies[0])
    assert torch.equal(second, copies[1])
