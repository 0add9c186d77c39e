"""Draws exact pictures for all clients, one after the other: for each client only the newest wish counts.

A wish is drawn small first where full pictures take long, so that something is seen at once, and then in full.  A
newer wish of the same client takes the place of one that has not begun, and is begun before the older one's full
picture.

Does NOT know what is drawn: wishes are functions of a size.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from recon4d.viewer import threads

_SMALL = 2.5  # times as many pixels a side in the full picture
_QUICK = 0.12  # seconds for a full picture, within which there is no small one first

P = TypeVar("P")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Wish(Generic[P]):
    """What a client wants to see.

    Attributes:
        width, height: of the full picture.
        draw: makes the picture at a size.
        show: is given the picture, and whether it is the full one.
    """

    width: int
    height: int
    draw: Callable[[int, int], P]
    show: Callable[[P, bool], None]


class Painter(Generic[P]):
    """One thread that draws."""

    def __init__(self) -> None:
        self._took = math.inf  # seconds for the last full picture
        self._wishes: OrderedDict[Hashable, tuple[Wish[Any], bool]] = OrderedDict()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threads.begin(self._work, name="recon4d-painter", stop=self._ask_to_stop)

    def wish(self, client: Hashable, wish: Wish[P]) -> None:
        """Ask for a picture; what the client has asked for before is forgotten."""
        with self._changed:
            self._wishes.pop(client, None)
            self._wishes[client] = (wish, self._took > _QUICK)
            self._changed.notify()

    def forget(self, client: Hashable) -> None:
        """Draw nothing more for a client; a picture that is being drawn is not shown any more."""
        with self._changed:
            self._wishes.pop(client, None)
            self._wishes[client] = (_NOTHING, False)
            self._changed.notify()

    def stop(self) -> None:
        """End the thread."""
        self._ask_to_stop()
        self._thread.join(timeout=5)

    def _ask_to_stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wishes and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                client, (wish, small) = self._wishes.popitem(last=False)
                if wish is _NOTHING:
                    continue
            try:
                share = _SMALL if small else 1.0
                begun = time.monotonic()
                picture = wish.draw(max(1, round(wish.width / share)), max(1, round(wish.height / share)))
                with self._changed:
                    if not small:
                        self._took = time.monotonic() - begun
                    newer = client in self._wishes
                    if small and not newer:
                        self._wishes[client] = (wish, False)
                if not newer:
                    wish.show(picture, not small)
            except Exception:
                # One picture that fails must not end all others.
                _log.exception("a picture could not be drawn")


_NOTHING: Wish[object] = Wish(1, 1, lambda width, height: None, lambda picture, full: None)
