"""The cache of packed frames: bounded, least recently used first out."""

from __future__ import annotations

import numpy as np
import pytest

from recon4d.viewer.frames import FrameCache


def frame(number: int, rows: int = 10) -> np.ndarray:
    return np.full((rows, 8), number, np.uint32)


SIZE = frame(0).nbytes


def test_a_frame_is_made_once():
    cache, made = FrameCache(10 * SIZE), []
    for _ in range(3):
        assert cache.get("a", lambda: made.append(1) or frame(7))[0, 0] == 7
    assert made == [1]


def test_memory_is_bounded_and_the_last_used_stay():
    cache = FrameCache(3 * SIZE)
    for number in range(3):
        cache.get(number, lambda number=number: frame(number))
    cache.get(0, lambda: pytest.fail("it is there"))
    cache.get(3, lambda: frame(3))
    assert (len(cache), cache.bytes) == (3, 3 * SIZE)
    cache.get(0, lambda: pytest.fail("it was used last"))
    again = []
    cache.get(1, lambda: again.append(1) or frame(1))
    assert again == [1]


def test_what_is_larger_than_the_cache_is_given_but_not_kept():
    cache = FrameCache(SIZE)
    assert len(cache.get("large", lambda: frame(1, 100))) == 100
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_thousand_frames_stay_within_bounds():
    cache = FrameCache(20 * SIZE)
    for number in range(1000):
        cache.get(number % 37, lambda number=number: frame(number))
        assert cache.bytes <= 20 * SIZE
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_frames_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        FrameCache().get("a", lambda: frame(1))[0, 0] = 3
