"""What a reconstruction tells while it works: small records, given to one callback.

Does NOT print; the command line shows them as bars or as JSON lines, a viewer may take the live model of `Fitting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recon4d.train import Snapshot

STAGES = ("ingest", "masks", "cameras", "second look", "tracks", "subject", "fit", "evaluate", "write")


@dataclass(frozen=True)
class StageStarted:
    """A stage begins; `stage` is one of `STAGES`."""

    stage: str


@dataclass(frozen=True)
class StageProgress:
    """A stage has done `done` of `total` parts; `part` names a piece of work within the stage."""

    stage: str
    part: str
    done: int
    total: int


@dataclass(frozen=True)
class StageDone:
    """A stage has ended: what it chose, why, and the seconds it took in this run."""

    stage: str
    chosen: str
    why: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Fitting:
    """How the fit is doing.

    Attributes:
        snapshot: steps, loss, PSNR, surfels and the live model.
        seconds_left: estimate for the rest of the fit, None while it cannot be told.
    """

    snapshot: Snapshot
    seconds_left: float | None


@dataclass(frozen=True)
class Warned:
    """A sentence that the user should read; it stands in the report too."""

    text: str


@dataclass(frozen=True)
class Noted:
    """A sentence on how the run goes on (resumed, nothing to resume)."""

    text: str


Event = StageStarted | StageProgress | StageDone | Fitting | Warned | Noted
Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The listener that does not listen."""
