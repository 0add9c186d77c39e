"""What all sessions of a viewer share: the project, the page's space, packed frames, the painter, files.

Does NOT know clients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from recon4d.viewer import exact
from recon4d.viewer.confidence import ViewConfidence, surfel_confidence
from recon4d.viewer.frames import FrameCache
from recon4d.viewer.inputs import Inputs
from recon4d.viewer.meshes import MeshCache
from recon4d.viewer.painter import Painter
from recon4d.viewer.project import Project
from recon4d.viewer.space import Space
from recon4d.viewer.transfers import Transfers
from recon4d.viewer.uploads import Uploads


class Shared:
    """One for each viewer.

    Args:
        project: what is looked at.
        input_path: the film or data set that the scene was made from; looked for where None.
        memory: bytes of packed frames that are kept.
        link: makes a new address that opens the viewer once.
    """

    def __init__(self, project: Project, input_path: Path | None, memory: int, link: Callable[[], str]) -> None:
        self.project, self.link = project, link
        self.space = Space.of(project.view)
        self.view_confidence = ViewConfidence.of(project.scene)
        self.frames = FrameCache(memory)
        self.painter: Painter[exact.Picture] = Painter()
        self.meshes = MeshCache()
        self.inputs = Inputs(project.scene, project.folder, input_path)
        self.uploads = Uploads(project.folder)
        self.transfers = Transfers()
        self._confidence: tuple[object, exact.Confidences] | None = None
        self._lock = threading.Lock()

    def confidence(self) -> exact.Confidences:
        """How surely each surfel was seen; found anew when the scene has changed."""
        view = self.project.view
        with self._lock:
            if self._confidence is None or self._confidence[0] is not view:
                self._confidence = (view, surfel_confidence(view))
            return self._confidence[1]

    def scene_replaced(self) -> None:
        """The project has another scene, of other size and place."""
        self.space = Space.of(self.project.view)
        self.view_confidence = ViewConfidence.of(self.project.scene)
        self.frames.clear()
