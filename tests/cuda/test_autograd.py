"""What the render tests expect of gradients that differ in their last bits, with the CUDA kernels on the emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.cuda.emulated import Emulated
from tests.render import test_autograd
from tests.render.helpers import Backend, assert_same_gradient

EXPECTATIONS = (
    test_autograd.test_two_graphs_at_once_do_not_disturb_each_other,
    test_autograd.test_results_do_not_depend_on_what_was_drawn_before,
)
"""Those of the tests that compare two runs and start no threads, which the emulator does not know."""


@pytest.fixture
def shuffled(emulated: Emulated) -> Iterator[Emulated]:
    """Blocks and threads at random, another way in every launch: sums come in another order each time."""
    emulated.native.set_schedule(2)
    yield emulated
    emulated.native.set_schedule(0)


@pytest.mark.parametrize("expectation", EXPECTATIONS, ids=lambda test: test.__name__.removeprefix("test_"))
def test_sums_in_any_order_are_the_same_gradient(shuffled: Emulated, expectation: Callable[[Backend], None]):
    expectation(shuffled)


def test_only_the_order_of_a_sum_is_forgiven():
    gradient = torch.linspace(-1, 1, 40).reshape(10, 4)
    rounded, wrong = gradient.nextafter(gradient + 1), gradient * 1.001
    assert_same_gradient(Backend("cuda"), rounded, gradient, torch.float32)
    for backend, other in (
        ("cuda", wrong),
        ("cuda", gradient * float("nan")),
        ("cpu", rounded),
        ("reference", rounded),
    ):
        with pytest.raises(AssertionError):
            assert_same_gradient(Backend(backend), other, gradient, torch.float32)
