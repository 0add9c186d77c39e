"""One client's session while several threads change what it shows."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from recon4d.editors import All, Opacity
from recon4d.viewer import Viewer
from tests.viewer.browser import until
from tests.viewer.hostile import camera_message, invited, socket


async def with_a_client(viewer: Viewer, work: Any) -> None:
    """Do something with the session and window of a client that draws nothing."""
    async with socket(viewer.server, cookie=invited(viewer.server)) as connection:

        async def read() -> None:
            while True:
                await connection.recv()

        reading = asyncio.create_task(read())
        await connection.send(camera_message())
        window = await asyncio.to_thread(until, lambda: list(viewer.windows.values()), "the panels")
        await asyncio.to_thread(work, list(viewer.sessions.values())[-1], window[-1])
        reading.cancel()


def test_a_gizmo_survives_changes_from_all_sides(viewer: Viewer):
    errors: list[BaseException] = []

    def work(session: Any, window: Any) -> None:
        session.selecting.take(All())
        gizmo = window.bench.gizmo
        gizmo.show()
        project = viewer.project

        def repeat(action: Any) -> None:
            try:
                for _ in range(60):
                    action()
            except BaseException as error:
                errors.append(error)

        def edit() -> None:
            project.add(Opacity(select=All(), factor=0.9))
            project.undo()

        def blink() -> None:
            gizmo.hide()
            gizmo.show()

        actions = [edit, blink, blink, session.time_changed, lambda: session.selecting.take(All())]
        threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gizmo.hide()
        assert session.client.scene.get_handle_by_name("/tools/gizmo") is None

    asyncio.run(with_a_client(viewer, work))
    assert errors == []


def test_listeners_are_told_of_a_change_when_the_next_one_can_be_made(viewer: Viewer):
    """Two sessions that are brought up to date by each other's edits must not wait for each other."""
    project, made = viewer.project, []

    def listener() -> None:
        other = threading.Thread(target=lambda: made.append(project.undo()))
        if not made:
            made.append(None)
            other.start()
            other.join(20)
            assert not other.is_alive()

    project.listen(listener)
    try:
        project.add(Opacity(select=All(), factor=0.9))
    finally:
        project.forget(listener)
    assert len(made) == 2
    assert len(project.stack) == 0
