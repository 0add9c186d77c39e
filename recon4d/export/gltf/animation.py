"""Animation channels: moving nodes, bones and cameras, and flip-books of shapes.

Linear samplers with strictly increasing times from 0 on.  A track that does not change is one value in its node and no
channel.  Does NOT choose what moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from recon4d.export.gltf.container import GlbBuilder
from recon4d.export.gltf.space import Space, xyzw
from recon4d.export.mesh.bones import BoneTrack, continuous

_SAME = 1e-7


class Clip:
    """One animation of a file.

    Args:
        glb: the file.
        times: [T] seconds of the scene, strictly increasing; the clip begins at 0.
        name: of the animation.
    """

    def __init__(self, glb: GlbBuilder, times: Sequence[float], name: str) -> None:
        self._glb, self._name = glb, name
        self.seconds = np.asarray(times, np.float64) - times[0]
        self._input: dict[bytes, int] = {}
        self._samplers: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []

    def move(
        self, node: int, rotations_wxyz: Float[np.ndarray, "t 4"], translations: Float32[np.ndarray, "t 3"]
    ) -> None:
        """Turn and move a node; values at the clip's times, in glTF's space."""
        self._track(node, "rotation", xyzw(continuous(rotations_wxyz)), np.array([0, 0, 0, 1], np.float32))
        self._track(node, "translation", translations.astype(np.float32), np.zeros(3, np.float32))

    def bones(self, root: int, joints: Sequence[int], track: BoneTrack, space: Space) -> None:
        """Move a skeleton."""
        self.move(root, space.rotations(track.root_rotations), space.points(track.root_translations))
        turns, places = space.rotations(track.rotations), space.points(track.translations)
        for b, joint in enumerate(joints):
            self.move(joint, turns[:, b], places[:, b])

    def shapes(self, node: int, keys: Sequence[int]) -> None:
        """Play a flip-book: at key k only its own shape counts, and between keys two of them do.

        Args:
            node: of the mesh, whose first shape is its base and has no weight.
            keys: numbers of the clip's moments, the first of them 0.
        """
        weights = np.eye(len(keys), dtype=np.float32)[:, 1:]
        self._sampled(node, "weights", weights.reshape(-1), self.seconds[list(keys)])

    def finish(self) -> None:
        """Add the animation to the file, if anything moves."""
        if self._channels:
            self._glb.add("animations", {"name": self._name, "samplers": self._samplers, "channels": self._channels})

    def _track(
        self, node: int, path: str, values: Float32[np.ndarray, "t c"], usual: Float32[np.ndarray, " c"]
    ) -> None:
        if len(values) == 1 or float(np.abs(values - values[:1]).max()) <= _SAME:
            if float(np.abs(values[0] - usual).max()) > _SAME or path in self._glb.document["nodes"][node]:
                self._glb.document["nodes"][node][path] = values[0].astype(float).tolist()
            return
        # Where a program plays nothing, things stand where bones rest; those without a rest begin at the first moment.
        self._glb.document["nodes"][node].setdefault(path, values[0].astype(float).tolist())
        self._sampled(node, path, values, self.seconds)

    def _sampled(self, node: int, path: str, values: np.ndarray, seconds: Float[np.ndarray, " k"]) -> None:
        times = seconds.astype(np.float32)
        key = times.tobytes()
        if key not in self._input:
            self._input[key] = self._glb.array(times, bounds=True)
        self._samplers.append({"input": self._input[key], "output": self._glb.array(values), "interpolation": "LINEAR"})
        self._channels.append({"sampler": len(self._samplers) - 1, "target": {"node": node, "path": path}})


def key_shapes(positions: Float32[np.ndarray, "t v 3"], times: Sequence[float], tolerance: float) -> list[int]:
    """Moments that a flip-book needs: in between, blending the two neighbours stays within `tolerance` everywhere.

    Halves the clip where it is missed by most, as Douglas and Peucker (1973) do with lines.  The first and last moment
    are always among them.
    """
    keys, spans = {0, len(positions) - 1}, [(0, len(positions) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        worst, at = 0.0, first
        for moment in range(first + 1, last):
            (blend,) = blended(positions, times, [first, last], [times[moment]])
            away = float(np.linalg.norm(positions[moment] - blend, axis=-1).max())
            if away > worst:
                worst, at = away, moment
        if worst > tolerance:
            keys.add(at)
            spans += [(first, at), (at, last)]
    return sorted(keys)


def blended(
    positions: Float32[np.ndarray, "t v 3"], times: Sequence[float], keys: Sequence[int], moments: Sequence[float]
) -> Float32[np.ndarray, "m v 3"]:
    """What players show at some seconds of a flip-book: the shapes at the keys around them, blended by time."""
    seconds = np.asarray(times, np.float64)[list(keys)]
    after = np.clip(np.searchsorted(seconds, moments, side="right"), 1, max(len(keys) - 1, 1))
    out = np.empty((len(moments), *positions.shape[1:]), np.float32)
    for row, (place, moment) in enumerate(zip(after, moments, strict=True)):
        first, last = keys[place - 1], keys[min(place, len(keys) - 1)]
        share = np.clip((moment - times[first]) / max(times[last] - times[first], 1e-12), 0, 1)
        out[row] = (1 - share) * positions[first] + share * positions[last]
    return out
