"""The viewer as a whole: a hardened server, the project, and a session with its panels for every browser.

Does NOT parse arguments or print; `recon4d.cli.view` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon4d.core.memory import keep_little_memory
from recon4d.render import keep_idle_memory
from recon4d.viewer import commands, threads
from recon4d.viewer.access import check_host
from recon4d.viewer.frames import DEFAULT_BYTES
from recon4d.viewer.page import branded
from recon4d.viewer.panels.window import Window
from recon4d.viewer.poster import Poster
from recon4d.viewer.project import Project
from recon4d.viewer.server import Server, check_port
from recon4d.viewer.session import Session
from recon4d.viewer.shared import Shared
from recon4d.viewer.text import shown

if TYPE_CHECKING:
    import viser

_IDLE_MEGABYTES = 64  # for the next pictures; what a film took is given back


class Viewer:
    """A running viewer.

    Args:
        project: what is looked at.
        host: address to bind to; links are the only way in, whatever it is.
        port: port, or the next free one; 0 lets the system choose.
        input_path: the film or data set that the scene was made from, for comparisons; looked for where None.
        memory: bytes of packed frames that are kept.
        sparing: give memory back as soon as it is dropped, for hours of looking; not beside a fit in the same
            process, which would have to get it anew in every step.

    Raises:
        InputError: a wrong host or port.
    """

    def __init__(
        self,
        project: Project,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        input_path: Path | None = None,
        memory: int = DEFAULT_BYTES,
        sparing: bool = True,
    ) -> None:
        self.project = project
        self.sessions: dict[int, Session] = {}
        self.windows: dict[int, Window] = {}
        self._stopped = False
        title = "recon4d" if project.folder is None else f"recon4d \u00b7 {project.folder.name}"
        check_host(host), check_port(port)
        if sparing:
            keep_little_memory()
            keep_idle_memory(_IDLE_MEGABYTES)
        self.shared = Shared(project, input_path, memory, lambda: self.link)
        self.poster = Poster(project)
        self.server = Server(host, port, shown(title), self.shared.transfers, self._page)
        self._prepare(self.server.viser)
        threads.begin(self._page)  # so that the picture is there before somebody comes

    @property
    def link(self) -> str:
        """A new address that opens the viewer in one browser, once."""
        return self.server.access.link()

    def stop(self) -> None:
        """End all sessions and the server."""
        self._stopped = True
        self.shared.painter.stop()
        for session in list(self.sessions.values()):
            session.close()
        self.server.stop()

    def scene_replaced(self) -> None:
        """The project's scene has another size and place: the page's space, and all cameras, are found anew."""
        self.shared.scene_replaced()
        self._stand(self.server.viser)
        for session in list(self.sessions.values()):
            session.go_to(self.shared.space.page_camera(self.project.view.cameras[0]))

    def _page(self) -> bytes:
        return branded(self.poster.html(self.shared.space))

    def _prepare(self, server: viser.ViserServer) -> None:
        server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(214, 106, 38))
        self._stand(server)
        server.on_client_connect(self._connect)
        server.on_client_disconnect(self._disconnect)

    def _stand(self, server: viser.ViserServer) -> None:
        """Where browsers begin: at the first input camera."""
        space = self.shared.space
        server.scene.set_up_direction(tuple(space.up))
        first, start = space.page_camera(self.project.view.cameras[0]), server.initial_camera
        start.up, start.position, start.look_at, start.fov = first.up, first.position, first.look_at, first.fov

    def _connect(self, client: viser.ClientHandle) -> None:
        session = Session(self.shared, client)
        self.sessions[client.client_id] = session
        session.start()
        # The page gets its controls in one piece, when all of them listen: what is done at once is not lost.
        with session.upkeep, client.atomic():
            window = self.windows[client.client_id] = Window(session)
            commands.register(session, window)
        if self._stopped:  # meanwhile
            session.close()

    def _disconnect(self, client: viser.ClientHandle) -> None:
        self.windows.pop(client.client_id, None)
        session = self.sessions.pop(client.client_id, None)
        if session is not None:
            session.close()
