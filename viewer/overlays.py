"""Things of the page that lie over the pictures: trails of points through time, and the mesh of the scene.

Does NOT draw splats or pictures.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recon4d.export.mesh.motion import carried
from recon4d.scene import Layer
from recon4d.viewer import threads
from recon4d.viewer.identity import identity
from recon4d.viewer.splats import base_colors

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

_TRAILS = 160
_MOMENTS = 16
_TRAILS_NAME = "/overlays/trails"
_MESH_NAME = "/overlays/mesh"
_CLAY = (205, 190, 175)


class Trails:
    """The paths of some points around the present moment, of one client."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._shown: object = None
        session.on_look.append(self.refresh)
        session.on_change.append(self.refresh)
        session.on_time.append(self.refresh)

    def refresh(self) -> None:
        """Show the trails that belong to the scene and the moment, or none in other modes."""
        session = self.session
        wanted = session.look.mode == "Trails" and not session.playback.playing
        key = (identity(session.project.view), session.playback.time) if wanted else None
        if key == self._shown:
            return
        self._shown = key
        scene = session.scene
        if (known := scene.get_handle_by_name(_TRAILS_NAME)) is not None:
            known.remove()
        if not wanted:
            return
        points, colors = self._paths()
        if len(points):
            scene.add_line_segments(_TRAILS_NAME, points, colors, thickness=1.6, thickness_units="screen")

    def _paths(self) -> tuple[np.ndarray, np.ndarray]:
        """[S, 2, 3] segments in the page, and their colours as bytes; bright at the present, faint far from it."""
        clock, space = self.session.playback, self.session.shared.space
        times = np.linspace(clock.first, clock.last, _MOMENTS)
        moving = [layer for layer in self.session.project.view.layers if layer.kind == "object" and len(layer.field)]
        segments, colors = [], []
        share = np.abs(times[:-1] - clock.time) / max(clock.last - clock.first, 1e-9)
        for layer in moving:
            count = max(1, _TRAILS // len(moving))
            rows = torch.linspace(0, len(layer.field) - 1, min(count, len(layer.field))).long()
            part = layer.field.select(rows)
            with torch.no_grad():
                centers = space.to_page(part.at_times(torch.from_numpy(times)).centers.double().numpy())
                color = (255 * base_colors(part.canonical).clamp(0, 1)).numpy()
            pairs = np.stack([centers[:-1], centers[1:]], axis=2)  # [T, R, 2, 3]
            segments.append(pairs.reshape(-1, 2, 3))
            vivid = 255 * (1 - share)[:, None, None] + share[:, None, None] * color[None]
            vivid[..., 1] *= 0.75
            vivid[..., 2] *= 0.35
            colors.append(np.repeat(vivid.reshape(-1, 1, 3), 2, axis=1))
        if not segments:
            return np.zeros((0, 2, 3), np.float32), np.zeros((0, 2, 3), np.uint8)
        return (
            np.concatenate(segments).astype(np.float32),
            np.concatenate(colors).clip(0, 255).astype(np.uint8),
        )


class Meshes:
    """The meshes of the objects, of one client; made in the background when they are first looked at."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._nodes: dict[str, Any] = {}
        self._shown: object = None
        self._making = threading.Lock()
        session.on_look.append(self.refresh)
        session.on_change.append(self.refresh)
        session.on_time.append(self.refresh)

    def refresh(self) -> None:
        """Show the meshes at the present moment, or none in other modes."""
        session = self.session
        if session.look.mode != "Mesh":
            self._clear()
            return
        layers = [one for one in session.project.view.layers if one.kind == "object" and len(one.field)]
        key = (session.playback.time, *(identity(layer.field) for layer in layers))
        if key == self._shown:
            return
        if all(session.shared.meshes.is_made(layer) for layer in layers):
            self._shown = key
            self._show(layers)
        elif self._making.acquire(blocking=False):
            threads.begin(self._make, layers)

    def _make(self, layers: list[Layer]) -> None:
        session = self.session
        notice = session.client.add_notification("Making the mesh", "This takes some seconds.", loading=True)
        try:
            session.attempt(lambda: [session.shared.meshes.of(layer) for layer in layers])
        finally:
            notice.remove()
            self._making.release()
        if all(session.shared.meshes.is_made(layer) for layer in layers):
            with session.upkeep:
                self.refresh()

    def _show(self, layers: list[Layer]) -> None:
        session, space = self.session, self.session.shared.space
        wanted = {f"{_MESH_NAME}_{identity(layer.field)}": layer for layer in layers}
        for name in [name for name in self._nodes if name not in wanted]:
            self._nodes.pop(name).remove()
        for name, layer in wanted.items():
            mesh, anchors = session.shared.meshes.of(layer)
            places = carried(layer.field, anchors, [session.playback.time])[0]
            vertices = space.to_page(places.astype(np.float64)).astype(np.float32)
            if name in self._nodes:
                self._nodes[name].vertices = vertices
            else:
                self._nodes[name] = session.scene.add_mesh_simple(
                    name, vertices, mesh.faces.astype(np.uint32), color=_CLAY, side="double"
                )

    def _clear(self) -> None:
        for node in self._nodes.values():
            node.remove()
        self._nodes, self._shown = {}, None
