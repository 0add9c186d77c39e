"""What a stage decided, in words, for the report and the scene's provenance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRecord:
    """One stage, as a reader of the report wants to know it.

    Attributes:
        stage: its name.
        chosen: what it chose.
        why: why, in a sentence.
        facts: (name, value) of its health record.
        warnings: sentences for the user.
        confident: whether it may be relied upon without another look.
        details: rows of a table (its head first), empty where there is nothing more.
    """

    stage: str
    chosen: str
    why: str
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    confident: bool = True
    details: tuple[tuple[str, ...], ...] = ()

    def to_json(self) -> dict[str, object]:
        """For the provenance.  Holds no times of the clock, so that two runs of one job write the same."""
        return {
            "stage": self.stage,
            "chosen": self.chosen,
            "why": self.why,
            "facts": dict(self.facts),
            "warnings": list(self.warnings),
            "confident": self.confident,
        }
