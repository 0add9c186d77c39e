"""One run of a job: tells the listener what goes on, and keeps the book of stages, times and warnings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from recon4d.data.motion.stage import Progress
from recon4d.pipeline import events
from recon4d.pipeline.settings import ReconstructSettings
from recon4d.pipeline.source import Source
from recon4d.pipeline.stages import StageRecord
from recon4d.pipeline.work import Work
from recon4d.train import FitConfig, Snapshot

_TELL_SECONDS = 0.1


class Run:
    """One run of a job: its stages one after the other, with what they chose and warned of.

    Attributes:
        source, settings, config: what is reconstructed, and how.
        work: the open work folder.
        records: what the stages chose so far.
        warnings: sentences for the user so far.
    """

    def __init__(
        self,
        source: Source,
        settings: ReconstructSettings,
        config: FitConfig,
        opened: Work,
        listen: events.Listener,
    ) -> None:
        self.source, self.settings, self.config = source, settings, config
        self.work, self.listen = opened, listen
        self.records: list[StageRecord] = []
        self.warnings: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A stage: told to the listener, noted in the work folder, timed.  The block ends with `done`."""
        self.work.enter(name)
        self.listen(events.StageStarted(name))
        begun, told, before = time.monotonic(), [0.0], len(self.records)

        def tell(part: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done >= total or now - told[0] >= _TELL_SECONDS:
                told[0] = now
                self.listen(events.StageProgress(name, part, done, total))

        yield tell
        seconds = time.monotonic() - begun
        if name != "fit":  # The fit counts its own time, which runs that were killed have spent too.
            self.work.add_seconds(name, seconds)
        new = self.records[before:]
        for record in new:
            self.listen(events.StageDone(record.stage, record.chosen, record.why, seconds))
            for text in record.warnings:
                self.warn(text)
        if not new:
            self.listen(events.StageDone(name, "done", "", seconds))

    def done(self, record: StageRecord) -> None:
        """What a stage chose."""
        self.records.append(record)

    def settle(self, stage: str) -> None:
        """Drop what a stage warned of: a later one has mended it."""
        settled = {text for record in self.records if record.stage == stage for text in record.warnings}
        self.warnings = [text for text in self.warnings if text not in settled]
        self.records = [
            replace(record, warnings=(), confident=True) if record.stage == stage else record for record in self.records
        ]

    def withdraw(self, text: str) -> None:
        """Drop one warning: what came later has answered it."""
        self.warnings = [other for other in self.warnings if other != text]
        self.records = [
            replace(record, warnings=tuple(other for other in record.warnings if other != text))
            for record in self.records
        ]

    def warn(self, text: str) -> None:
        """Tell the user something once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.listen(events.Warned(text))


class Clock:
    """The fit's callback: passes snapshots on with the time left, and counts the time spent for the work folder."""

    def __init__(self, opened: Work, listen: events.Listener) -> None:
        self.work, self.listen = opened, listen
        self.before = time.monotonic()
        self.last: tuple[int, float] | None = None
        self.pace: float | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Take a snapshot."""
        now = time.monotonic()
        self.work.add_seconds("fit", now - self.before)
        self.before = now
        if self.last is not None and snapshot.step > self.last[0]:
            pace = (now - self.last[1]) / (snapshot.step - self.last[0])
            self.pace = pace if self.pace is None else 0.7 * self.pace + 0.3 * pace
        self.last = (snapshot.step, now)
        left = None if self.pace is None else self.pace * (snapshot.iterations - snapshot.step)
        self.listen(events.Fitting(snapshot, left))
