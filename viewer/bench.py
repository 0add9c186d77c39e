"""The artist's tools of one session, together: the mouse, the gizmo, the region, the handles."""

from __future__ import annotations

from recon4d.viewer.handles import Handles
from recon4d.viewer.moving import Gizmo
from recon4d.viewer.region import Region
from recon4d.viewer.session import Session
from recon4d.viewer.tools import Tools


class Bench:
    """What panels work with.

    Args:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.gizmo = Gizmo(session)
        self.region = Region(session)
        self.handles = Handles(session)
        self.tools = Tools(session, self.region, self.handles)
