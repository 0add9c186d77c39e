"""What is kept of a fit that cannot go on: by Ctrl-C, a full disk, or numbers beyond all bounds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from recon4d.core import Recon4dError
from recon4d.data import Dataset
from recon4d.data.files import StorageError
from recon4d.train import FitConfig, fit
from recon4d.train.objective import Objective
from recon4d.train.optimizer import Optimizer
from tests.train.scenes import assert_equal

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler, as in a terminal: programs that are started in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def before_the(number: int, do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something in the middle of a step: as the optimizer is called for that time."""
    plain, calls = Optimizer.step, [0]

    def step(self: Optimizer, *arguments: object) -> None:
        calls[0] += 1
        if calls[0] == number:
            do()
        plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Optimizer, "step", step)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_step_that_was_under_way(
    dataset: Dataset, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seldom = replace(quick, checkpoint_seconds=1e6, snapshot_every=1)
    unbroken = fit(dataset, seldom)
    file = tmp_path / "state.safetensors"
    with monkeypatch.context() as patch:
        before_the(7, lambda: signal.raise_signal(signal.SIGINT), patch)
        with pytest.raises(KeyboardInterrupt):
            fit(dataset, seldom, checkpoint=file)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    steps: list[int] = []
    resumed = fit(dataset, seldom, checkpoint=file, resume=True, callback=lambda one: steps.append(one.step))
    assert steps[0] == 8
    assert_equal(resumed.scene, unbroken.scene)
    assert resumed.curve == unbroken.curve


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait(dataset: Dataset, quick: FitConfig, monkeypatch: pytest.MonkeyPatch):
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    before_the(2, twice, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fit(dataset, quick)


def test_numbers_beyond_all_bounds_are_one_line_and_the_last_checkpoint_stays(
    dataset: Dataset, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "state.safetensors"
    plain, calls = Objective.image, [0]

    def image(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        calls[0] += 1
        loss, squared = plain(*arguments)  # type: ignore[arg-type]
        return (loss * float("nan") if calls[0] == 6 else loss), squared

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "image", image)
        with pytest.raises(
            Recon4dError, match="the fit: expected finite numbers, got a loss of nan in step "
        ) as caught:
            fit(dataset, quick, checkpoint=file)
    assert "\n" not in str(caught.value)
    assert fit(dataset, quick, checkpoint=file, resume=True).scene is not None


def test_a_disk_that_is_full_is_one_line(
    dataset: Dataset, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(StorageError, match=r"expected a file that can be written, .*No space left on device"):
        fit(dataset, quick, checkpoint=tmp_path / "state.safetensors")
    assert list(tmp_path.iterdir()) == []
