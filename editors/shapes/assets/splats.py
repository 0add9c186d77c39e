"""Gaussian splats in PLY as surfels: 3-scale and 2-scale files, and the compressed files of PlayCanvas and SuperSplat.

The usual columns are those of 3D Gaussian Splatting: x y z, logarithms of the scales, rot_0.. (wxyz), the logit of the
opacity, and spherical harmonics f_dc_* and f_rest_* (channel by channel).  A Gaussian with three scales becomes a
surfel in its two largest axes.  Turns no axes: what the file calls x stays x.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.editors.shapes.assets.ply_table import PlyTables

_SH_REST = {0: 0, 9: 3, 24: 8, 45: 15}  # columns f_rest_*: coefficients beyond the first
_CHUNK = 256  # splats that share a box in a compressed file
_DEGREE_0 = 0.28209479177387814
_LARGEST_LOG_SCALE = 40.0


def is_splats(ply: PlyTables) -> bool:
    """Whether the file holds Gaussian splats of a kind that `surfels_of` reads."""
    vertex = ply.columns.get("vertex", {})
    return "packed_position" in vertex or ("scale_0" in vertex and "rot_0" in vertex)


def surfels_of(ply: PlyTables) -> Surfels:
    """The splats of a PLY file as float32 surfels, in the file's axes and units.

    Raises:
        InputError: columns that are missing, of the wrong number, or not finite.
    """
    vertex = ply.columns["vertex"]
    if not len(next(iter(vertex.values()), ())):
        raise ply.fail("element vertex", "at least one splat", "none")
    return _packed(ply) if "packed_position" in vertex else _plain(ply)


def flattened(
    rotations_wxyz: Float[Tensor, "n 4"], scales: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "n 4"], Float[Tensor, "n 2"]]:
    """Rotations and scales of surfels in the two largest axes of ellipsoids; the normal is along the smallest.

    Args:
        rotations_wxyz: [N, 4] quaternions that take the ellipsoids' axes to the world, not zero.
        scales: [N, 3] standard deviations along the axes.
    """
    order = scales.argsort(dim=-1, descending=True, stable=True)
    axes = quaternion.to_matrix(rotations_wxyz).gather(2, order[:, None].expand(-1, 3, -1))
    # An odd order of the axes is a reflection: the normal may point either way, so turn it round.
    axes[:, :, 2] *= torch.linalg.det(axes).sign()[:, None]
    return quaternion.from_matrix(axes), scales.gather(1, order)[:, :2]


def _tensor(array: Shaped[np.ndarray, "..."]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def _plain(ply: PlyTables) -> Surfels:
    vertex = ply.columns["vertex"]
    flat = "scale_2" not in vertex
    scale_names = ("scale_0", "scale_1") if flat else ("scale_0", "scale_1", "scale_2")
    centers = ply.stack("vertex", ("x", "y", "z"))
    logs = ply.stack("vertex", scale_names)
    if float(logs.max()) > _LARGEST_LOG_SCALE:
        raise ply.fail("scale_*", f"logarithms below {_LARGEST_LOG_SCALE:g}", f"{logs.max():g}")
    rotations = _tensor(ply.stack("vertex", tuple(f"rot_{i}" for i in range(4))))
    scales = _tensor(np.exp(logs))
    if flat:
        rotations = quaternion.normalize(rotations)
    else:
        rotations, scales = flattened(rotations, scales)
    logits = ply.stack("vertex", ("opacity",))[:, 0]
    return Surfels(_tensor(centers), rotations, scales, torch.sigmoid(_tensor(logits)), _plain_sh(ply))


def _plain_sh(ply: PlyTables) -> Tensor:
    vertex = ply.columns["vertex"]
    if "f_dc_0" not in vertex and "red" in vertex:
        colors = ply.stack("vertex", ("red", "green", "blue"))
        unit = ply.kinds["vertex"]["red"].startswith("f")
        return coefficients_from_color(_tensor(np.clip(colors / (1 if unit else 255), 0, 1)))
    constant = ply.stack("vertex", ("f_dc_0", "f_dc_1", "f_dc_2"))[:, None]
    count = sum(name.startswith("f_rest_") for name in vertex)
    if count not in _SH_REST:
        raise ply.fail("f_rest_*", "0, 9, 24 or 45 columns", str(count))
    if count == 0:
        return _tensor(constant)
    rest = ply.stack("vertex", tuple(f"f_rest_{i}" for i in range(count)))
    return _tensor(np.concatenate([constant, rest.reshape(len(rest), 3, -1).transpose(0, 2, 1)], 1))


def _packed(ply: PlyTables) -> Surfels:
    """Positions and scales of 11, 10 and 11 bits within the box of their chunk of 256; see PlayCanvas' reader."""
    vertex = ply.columns["vertex"]
    names = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
    if any(name not in vertex or ply.kinds["vertex"][name] != "u4" for name in names):
        raise ply.fail("element vertex", f"uint properties {', '.join(names)}", ", ".join(vertex))
    position, rotation, scale, color = (vertex[name].astype(np.uint32) for name in names)
    chunk = np.arange(len(position)) // _CHUNK
    if len(ply.columns.get("chunk", {}).get("min_x", ())) <= chunk[-1]:
        raise ply.fail("element chunk", f"a chunk for every {_CHUNK} splats, {chunk[-1] + 1} in all", "fewer")

    def within(quantity: str, axes: str, values: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        low, high = (ply.stack("chunk", tuple(f"{end}_{quantity}{axis}" for axis in axes)) for end in ("min", "max"))
        return low[chunk] + values * (high - low)[chunk]

    centers = within("", "xyz", _three(position))
    logs = within("scale_", "xyz", _three(scale))
    if float(logs.max()) > _LARGEST_LOG_SCALE:
        raise ply.fail("element chunk: max_scale_*", f"logarithms below {_LARGEST_LOG_SCALE:g}", f"{logs.max():g}")
    bytes_ = np.stack([color >> shift & 255 for shift in (24, 16, 8, 0)], -1) / 255.0
    rgb = bytes_[:, :3]
    if "min_r" in ply.columns["chunk"]:
        rgb = within("", "rgb", rgb)
    rotations, scales = flattened(_tensor(_smallest_three(rotation)), _tensor(np.exp(logs)))
    sh = coefficients_from_color(_tensor(rgb))
    return Surfels(_tensor(centers), rotations, scales, _tensor(bytes_[:, 3]), _with_packed_rest(ply, sh))


def _three(packed: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    return np.stack([(packed >> 21 & 2047) / 2047.0, (packed >> 11 & 1023) / 1023.0, (packed & 2047) / 2047.0], -1)


def _smallest_three(packed: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Quaternions of which the largest component, named by the top two bits, is left out."""
    largest = (packed >> 30).astype(np.int64)
    small = np.stack([((packed >> shift & 1023) / 1023.0 - 0.5) * np.sqrt(2) for shift in (20, 10, 0)], -1)
    out = np.zeros((len(packed), 4))
    columns = np.array([[i for i in range(4) if i != j] for j in range(4)])[largest]
    np.put_along_axis(out, columns, small, axis=1)
    left = np.sqrt(np.maximum(0.0, 1 - (small**2).sum(1)))
    np.put_along_axis(out, largest[:, None], left[:, None], axis=1)
    return out


def _with_packed_rest(ply: PlyTables, sh: Tensor) -> Tensor:
    table = ply.columns.get("sh", {})
    count = len(table)
    if count == 0:
        return sh
    if count not in _SH_REST:
        raise ply.fail("element sh", "9, 24 or 45 columns", str(count))
    rest = ply.stack("sh", tuple(f"f_rest_{i}" for i in range(count)))
    if len(rest) != len(sh):
        raise ply.fail("element sh", f"{len(sh)} rows", str(len(rest)))
    # Eight bits for the range from -4 to 4; the middle of a step.
    values = np.where(rest == 0, 0.0, np.where(rest == 255, 1.0, (rest + 0.5) / 256))
    values = (values - 0.5) * 8
    return torch.cat([sh, _tensor(values.reshape(len(rest), 3, -1).transpose(0, 2, 1))], 1)
