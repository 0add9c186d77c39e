"""Evaluates glTF 2.0 animations: samplers (STEP, LINEAR, CUBICSPLINE), node transforms, morph weights.

Follows the specification's appendix C.  Quaternions are xyzw here, as in the file; everything else in recon4d is wxyz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from recon4d.data.gltf.file import GltfFile

_PATHS = {"translation": 3, "rotation": 4, "scale": 3, "weights": None}


@dataclass(frozen=True, eq=False)
class Channel:
    """One animated property of one node.

    Attributes:
        node, path: what is animated: "translation", "rotation", "scale" or "weights".
        times: [K] seconds, increasing.
        values: [K, C]; for CUBICSPLINE [K, 3, C]: in-tangent, value, out-tangent.
        interpolation: "STEP", "LINEAR" or "CUBICSPLINE".
    """

    node: int
    path: str
    times: Float[np.ndarray, "k"]
    values: Float[np.ndarray, "k *c"]
    interpolation: str

    def at(self, time: float) -> Float[np.ndarray, "c"]:
        """The value at a time in seconds; held at the first and last key outside them."""
        cubic = self.interpolation == "CUBICSPLINE"
        keys = self.values[:, 1] if cubic else self.values
        if time <= self.times[0] or len(self.times) == 1:
            value = keys[0]
        elif time >= self.times[-1]:
            value = keys[-1]
        else:
            i = int(np.searchsorted(self.times, time, side="right")) - 1
            span = float(self.times[i + 1] - self.times[i])
            s = (time - float(self.times[i])) / span
            if self.interpolation == "STEP":
                value = keys[i]
            elif cubic:
                value = _hermite(keys[i], self.values[i, 2] * span, keys[i + 1], self.values[i + 1, 0] * span, s)
            elif self.path == "rotation":
                value = _slerp(keys[i], keys[i + 1], s)
            else:
                value = keys[i] + s * (keys[i + 1] - keys[i])
        return value / max(float(np.linalg.norm(value)), 1e-12) if self.path == "rotation" else value


def _hermite(
    start: Float[np.ndarray, "c"],
    start_tangent: Float[np.ndarray, "c"],
    end: Float[np.ndarray, "c"],
    end_tangent: Float[np.ndarray, "c"],
    s: float,
) -> Float[np.ndarray, "c"]:
    s2, s3 = s * s, s * s * s
    return (
        (2 * s3 - 3 * s2 + 1) * start
        + (s3 - 2 * s2 + s) * start_tangent
        + (3 * s2 - 2 * s3) * end
        + (s3 - s2) * end_tangent
    )


def _slerp(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"], s: float) -> Float[np.ndarray, "4"]:
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    cosine = float(a @ b)
    b, cosine = (-b, -cosine) if cosine < 0 else (b, cosine)
    angle = float(np.arccos(min(cosine, 1.0)))
    if angle < 1e-6:
        return a + s * (b - a)
    return (np.sin((1 - s) * angle) * a + np.sin(s * angle) * b) / np.sin(angle)


def read_channels(file: GltfFile, animation: dict[str, Any]) -> list[Channel]:
    """The channels of one animation, without those that have no node or whose path belongs to an extension."""
    samplers = animation.get("samplers", [])
    channels = []
    for number, entry in enumerate(animation.get("channels", [])):
        target = entry.get("target", {})
        path, node = str(target.get("path")), target.get("node")
        if node is None or path not in _PATHS:
            continue
        file.item("nodes", node)
        index = entry.get("sampler")
        if not isinstance(index, int) or not 0 <= index < len(samplers):
            raise file.fail(f"channels[{number}].sampler", f"0 to {len(samplers) - 1}", repr(index))
        channels.append(_channel(file, samplers[index], node, path, number))
    return channels


def _channel(file: GltfFile, sampler: dict[str, Any], node: int, path: str, number: int) -> Channel:
    interpolation = str(sampler.get("interpolation", "LINEAR"))
    if interpolation not in ("STEP", "LINEAR", "CUBICSPLINE"):
        raise file.fail(f"channels[{number}]", "STEP, LINEAR or CUBICSPLINE", interpolation)
    times = file.accessor(sampler.get("input"))[:, 0].astype(np.float64)
    values = file.accessor(sampler.get("output")).astype(np.float64)
    per_key = 3 if interpolation == "CUBICSPLINE" else 1
    columns = _PATHS[path] or (values.size // max(len(times) * per_key, 1))
    if len(times) == 0 or not bool((np.diff(times) > 0).all()) or values.size != len(times) * per_key * columns:
        got = f"{len(times)} times, {values.size} numbers"
        raise file.fail(f"channels[{number}]", f"increasing times and {per_key * columns} numbers for each", got)
    if not (np.isfinite(times).all() and np.isfinite(values).all()):
        raise file.fail(f"channels[{number}]", "finite numbers", "NaN or infinity")
    shape = (len(times), 3, columns) if per_key == 3 else (len(times), columns)
    return Channel(node, path, times, values.reshape(shape), interpolation)


def matrix_of(
    translation: Float[np.ndarray, "3"], rotation_xyzw: Float[np.ndarray, "4"], scale: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """The matrix that scales, then turns, then shifts."""
    x, y, z, w = rotation_xyzw / max(float(np.linalg.norm(rotation_xyzw)), 1e-12)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = translation
    return matrix
