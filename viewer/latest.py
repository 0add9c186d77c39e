"""Work that follows the hand: done again for what has changed meanwhile, never twice at once, over when it is let go.

What a drag would do is computed while the drag goes on.  When it ends, nothing that is still being computed may come
after the edit and lay an old picture over it; `drop` waits for that.

Does NOT know what the work is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from recon4d.core import Recon4dError
from recon4d.viewer import threads

_log = logging.getLogger(__name__)


class Latest:
    """One piece of work, in the background.

    Args:
        work: does it for how things are when it is called; must not call `drop`.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._asked = False
        self._running = False
        self._state = threading.Condition()

    def ask(self) -> None:
        """Have it done soon, once for all that is asked meanwhile; returns at once."""
        with self._state:
            self._asked = True
            if self._running:
                return
            self._running = True
        threads.begin(self._run)

    def drop(self) -> None:
        """Forget what was asked for, and wait for what is being done: afterwards it has no effect any more."""
        with self._state:
            self._asked = False
            self._state.wait_for(lambda: not self._running)

    def _run(self) -> None:
        while self._wanted():
            try:
                self._work()
            except Recon4dError as error:
                # The hand may hold what another client has just deleted; letting go says so, once.
                _log.debug("nothing to show: %s", error)
            except Exception:  # what is asked next must still be done
                _log.exception("what follows the hand failed")

    def _wanted(self) -> bool:
        with self._state:
            if self._asked:
                self._asked = False
                return True
            self._running = False
            self._state.notify_all()
            return False
