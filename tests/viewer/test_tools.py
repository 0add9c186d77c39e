"""The line that follows the mouse: drawn by one thread at a time, though gestures end in other threads."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recon4d.viewer import tools
from recon4d.viewer.handles import Handles
from recon4d.viewer.region import Region
from recon4d.viewer.tools import Tools


def test_a_line_is_not_taken_away_while_it_is_drawn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools, "ray", lambda *_: (np.zeros(3), np.ones(3)))
    inside, most = [], [0]

    def touch(*_: Any, **__: Any) -> None:
        inside.append(1)
        most[0] = max(most[0], len(inside))
        time.sleep(0.02)
        inside.pop()

    scene = SimpleNamespace(
        on_click=lambda **_: lambda action: action,
        get_handle_by_name=lambda _: SimpleNamespace(remove=touch),
        add_line_segments=touch,
    )
    shared = SimpleNamespace(space=SimpleNamespace(to_page=lambda point: point))
    session: Any = SimpleNamespace(scene=scene, shared=shared, guarded=lambda action: action)
    hand = Tools(session, Region.__new__(Region), Handles.__new__(Handles))
    drawing = [threading.Thread(target=hand._show_stroke, args=([(0.0, 0.0), (1.0, 1.0)],)) for _ in range(3)]
    drawing += [threading.Thread(target=hand.cancel) for _ in range(3)]
    for thread in drawing:
        thread.start()
    for thread in drawing:
        thread.join()
    assert most[0] == 1
