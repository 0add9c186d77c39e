"""Long work in the background: one thing at a time, with progress, and a way to stop it.

Does NOT show anything: panels are told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from recon4d.core import Recon4dError
from recon4d.viewer import threads


class CancelledError(Exception):
    """The work was stopped by whoever asked for it."""


@dataclass
class Job:
    """One piece of work.

    Attributes:
        title: what it is, for people.
        told: called with what is done, a share in [0, 1], and words.
        ended: called once with the result, or with a sentence on why there is none.
    """

    title: str
    told: Callable[[float, str], None]
    ended: Callable[[Any, str | None], None]
    _stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop at the next step."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def step(self, share: float, words: str) -> None:
        """Tell how far the work is.

        Raises:
            CancelledError: it is to stop here.
        """
        if self._stop.is_set():
            raise CancelledError
        self.told(min(max(share, 0.0), 1.0), words)

    def start(self, work: Callable[[Job], Any]) -> threading.Thread:
        """Do the work in a thread of its own."""
        return threads.begin(self._run, work, name=f"recon4d-{self.title}", stop=self.cancel)

    def _run(self, work: Callable[[Job], Any]) -> None:
        try:
            result = work(self)
        except CancelledError:
            self.ended(None, "Stopped.")
        except Recon4dError as error:
            self.ended(None, sentence(error))
        except OSError as error:
            self.ended(None, f"The disk says: {error.strerror or error}.")
        except Exception as error:  # shown to the artist, and raised for the log
            self.ended(None, f"This failed, which is a bug of recon4d: {type(error).__name__}.")
            raise
        else:
            self.ended(result, None)


def sentence(error: Recon4dError) -> str:
    """An error for people: what is wrong, and what mends it."""
    return f"{error.what}: expected {error.expected}, but got {error.got}. {error.fix[:1].upper()}{error.fix[1:]}."
