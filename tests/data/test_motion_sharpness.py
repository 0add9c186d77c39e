"""The measure of blur: sharp pictures low, blurred ones high, whichever way they are blurred."""

from __future__ import annotations

import numpy as np
import pytest

from recon4d.data.motion.sharpness import BLURRED, blur


def picture(seed: int) -> np.ndarray:
    """Patches of all sizes with edges, as in a film."""
    import cv2

    chance = np.random.default_rng(seed)
    sizes = (4, 10, 40, 120)
    layers = [cv2.resize(chance.random((n, n)), (240, 240), interpolation=cv2.INTER_NEAREST) for n in sizes]
    return (255 * np.mean(layers, 0)).astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 1])
def test_blur_rises_with_the_width_of_the_blur_in_either_direction(seed):
    import cv2

    sharp = picture(seed)
    assert blur(sharp) < 0.35
    for size in ((1, 9), (9, 1)):
        once, more = cv2.blur(sharp, size), cv2.blur(sharp, (2 * size[0] - 1, 2 * size[1] - 1))
        assert blur(sharp) < BLURRED < blur(once) < blur(more) < 1


def test_a_picture_of_nothing_is_all_blur():
    assert blur(np.full((40, 60), 90, np.uint8)) == 1.0
