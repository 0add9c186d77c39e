"""The checks of the GPU bench on the block emulator: they hold, and notice what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.bench.gpu_cases import Case, apart
from tests.bench.gpu_checks import Pass, a_pass, missed_by_repeat, replayed
from tests.bench.gpu_verdicts import MissedError
from tests.cuda.emulated import Emulated


def recorded(draw: Callable[[], Pass]) -> tuple[Pass, Callable[[], None]]:
    """What a CUDA graph does: results stay where they are, and a replay fills them anew."""
    results = draw()

    def replay() -> None:
        for mine, new in zip(results, draw(), strict=True):
            for name, array in new.items():
                mine[name].detach().copy_(array.detach())

    return results, replay


def forgotten(draw: Callable[[], Pass]) -> tuple[Pass, Callable[[], None]]:
    """A graph whose replay does nothing."""
    return draw(), lambda: None


@pytest.fixture
def case() -> Case:
    return Case(60, 19, 13, "cpu")


def test_a_replay_is_compared_with_drawing(case: Case, emulated: Emulated):
    before = case.arrays["centers"].detach().clone()
    assert replayed(case, emulated.module, recorded)["instances"] > 60
    assert torch.equal(case.arrays["centers"].detach(), before)
    with pytest.raises(MissedError, match=r"surfels moved by 0.05: another color"):
        replayed(case, emulated.module, forgotten)


def test_another_pass_is_noticed(case: Case, emulated: Emulated):
    expected = a_pass(case, emulated.module)
    assert not missed_by_repeat(a_pass(case, emulated.module), expected, "again")
    images, gradients = a_pass(case, emulated.module)
    gradients["centers"] = gradients["centers"] * 1.001
    assert missed_by_repeat((images, gradients), expected, "x")[0].startswith("x: centers apart by 1.0e-03")
    images["depth"] = images["depth"] + 1e-6
    assert missed_by_repeat((images, gradients), expected, "x")[0] == "x: another depth"
    assert max(apart(expected[1], case.backward(case.draw("cpu"))).values()) < 1e-3
