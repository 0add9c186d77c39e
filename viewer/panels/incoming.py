"""Files that a control has been given: taken out of it, read aside, and no longer counted when that is done.

Does NOT know what files are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from viser import UploadedFile

from recon4d.viewer import threads
from recon4d.viewer.text import shown

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

Take = Callable[[str, bytes], None]


def on_file(session: Session, button: Any, take: Take) -> None:
    """Have a function called with the name and content of every file that comes to an upload button."""

    def work(file: UploadedFile) -> None:
        notice = session.notify("Reading the file", shown(file.name), seconds=None)
        try:
            session.attempt(lambda: take(file.name, file.content))
        finally:
            notice.remove()
            session.shared.transfers.give(button._impl.uuid, len(file.content))

    async def received(_: Any) -> None:
        # On the page's own event loop, so that no second file takes the place of the first; the control keeps none.
        file, button._impl.value = button.value, UploadedFile("", b"")
        threads.begin(work, file)

    button.on_upload(received)
