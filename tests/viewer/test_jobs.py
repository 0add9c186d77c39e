"""Long work: progress, stopping, and what is said where it fails."""

from __future__ import annotations

from typing import Any

import pytest

from recon4d.core import InputError
from recon4d.viewer.jobs import Job


def run(work: Any, *, cancel: bool = False) -> tuple[list[float], Any, str | None]:
    told: list[float] = []
    ended: list[tuple[Any, str | None]] = []
    job = Job("work", lambda share, words: told.append(share), lambda result, trouble: ended.append((result, trouble)))
    if cancel:
        job.cancel()
    thread = job.start(work)
    thread.join(30)
    assert len(ended) == 1
    return told, *ended[0]


def test_progress_and_result():
    def work(job: Job) -> str:
        for i in range(3):
            job.step(i / 2, "words")
        return "made"

    assert run(work) == ([0.0, 0.5, 1.0], "made", None)


def test_it_stops_at_the_next_step():
    def work(job: Job) -> str:
        job.step(0.5, "words")
        raise AssertionError("it should have stopped")

    assert run(work, cancel=True) == ([], None, "Stopped.")


def test_deliberate_errors_are_said_in_full():
    def work(job: Job) -> None:
        raise InputError("layers", expected="one", got="none", fix="add one")

    assert run(work)[2] == "layers: expected one, but got none. Add one."


def test_disks_are_named():
    def work(job: Job) -> None:
        raise OSError(28, "No space left on device")

    assert run(work)[2] == "The disk says: No space left on device."


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bugs_are_said_to_be_bugs():
    def work(job: Job) -> None:
        raise KeyError("x")

    trouble = run(work)[2]
    assert trouble is not None
    assert "bug" in trouble
