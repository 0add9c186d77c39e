"""Small asset files, written independently of the readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recon4d.core import quaternion

TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int", "u4": "uint"}


def write_ply(path: Path, elements: list[tuple[str, np.ndarray]], *, comment: str = "", order: str = "<") -> Path:
    """A binary PLY of structured arrays; a field of shape (3,) or (4,) is a list with an uchar length."""
    lines = ["ply", f"format binary_{'little' if order == '<' else 'big'}_endian 1.0"]
    lines += [f"comment {comment}"] if comment else []
    body = b""
    for name, table in elements:
        lines.append(f"element {name} {len(table)}")
        columns = []
        for field in table.dtype.names or ():
            kind = table.dtype[field]
            if kind.shape:
                lines.append(f"property list uchar {TYPES[kind.base.str[1:]]} {field}")
                columns += [(field + "_count", "u1"), (field, order + kind.base.str[1:], kind.shape)]
            else:
                lines.append(f"property {TYPES[kind.str[1:]]} {field}")
                columns.append((field, order + kind.str[1:]))
        out = np.zeros(len(table), np.dtype(columns))
        for field in table.dtype.names or ():
            out[field] = table[field]
            if table.dtype[field].shape:
                out[field + "_count"] = table.dtype[field].shape[0]
        body += out.tobytes()
    path.write_bytes("\n".join([*lines, "end_header", ""]).encode("ascii") + body)
    return path


def table(columns: dict[str, np.ndarray], kind: str = "<f4") -> np.ndarray:
    """A structured array of equally long columns."""
    first = next(iter(columns.values()))
    out = np.zeros(len(first), np.dtype([(name, kind) for name in columns]))
    for name, values in columns.items():
        out[name] = values
    return out


def gaussians(count: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    """Random Gaussians: places, quaternions (wxyz), scales [N, 3], opacities, sh [N, 16, 3]."""
    generator = np.random.default_rng(seed)
    turns = generator.normal(size=(count, 4))
    return {
        "places": generator.normal(size=(count, 3)),
        "turns": turns / np.linalg.norm(turns, axis=-1, keepdims=True),
        "scales": np.exp(generator.uniform(-5, -2, (count, 3))),
        "opacities": generator.uniform(0.02, 0.98, count),
        "sh": 0.4 * generator.normal(size=(count, 16, 3)),
    }


def splat_ply(path: Path, some: dict[str, np.ndarray], *, scales: int = 3, degree: int = 3) -> Path:
    """A PLY as 3D Gaussian Splatting writes it, with 2 or 3 scales."""
    columns = {axis: some["places"][:, i] for i, axis in enumerate("xyz")}
    columns |= {f"f_dc_{i}": some["sh"][:, 0, i] for i in range(3)}
    rest = some["sh"][:, 1 : (degree + 1) ** 2].transpose(0, 2, 1).reshape(len(some["sh"]), -1)
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns["opacity"] = np.log(some["opacities"] / (1 - some["opacities"]))
    columns |= {f"scale_{i}": np.log(some["scales"][:, i]) for i in range(scales)}
    columns |= {f"rot_{i}": some["turns"][:, i] for i in range(4)}
    return write_ply(path, [("vertex", table(columns))], comment="SplatRenderMode: 2dgs" if scales == 2 else "")


def packed_ply(path: Path, some: dict[str, np.ndarray]) -> Path:
    """The compressed PLY of PlayCanvas, without rest coefficients."""
    count = len(some["places"])
    chunks = -(-count // 256)
    color = np.clip(0.5 + 0.28209479177387814 * some["sh"][:, 0], 0, 1)
    boxes: dict[str, np.ndarray] = {}
    unit = {}
    for name, axes, values in (("", "xyz", some["places"]), ("scale_", "xyz", np.log(some["scales"]))):
        parts = [values[256 * i : 256 * (i + 1)] for i in range(chunks)]
        low, high = (np.stack([getattr(part, end)(0) for part in parts]) for end in ("min", "max"))
        boxes |= {f"min_{name}{axis}": low[:, i] for i, axis in enumerate(axes)}
        boxes |= {f"max_{name}{axis}": high[:, i] for i, axis in enumerate(axes)}
        chunk = np.arange(count) // 256
        unit[name] = (values - low[chunk]) / np.maximum(high - low, 1e-12)[chunk]

    def three(values: np.ndarray) -> np.ndarray:
        x, y, z = (np.rint(values[:, i] * top).astype(np.uint32) for i, top in enumerate((2047, 1023, 2047)))
        return x << np.uint32(21) | y << np.uint32(11) | z

    largest = np.abs(some["turns"]).argmax(1)
    rows = np.arange(count)
    turns = some["turns"] * np.sign(some["turns"][rows, largest])[:, None]
    rest = np.stack([turns[i, [k for k in range(4) if k != largest[i]]] for i in range(count)])
    small = np.rint((rest / np.sqrt(2) + 0.5) * 1023).astype(np.uint32)
    rotation = largest.astype(np.uint32) << np.uint32(30)
    for i, shift in enumerate((20, 10, 0)):
        rotation |= small[:, i] << np.uint32(shift)
    bytes_ = np.rint(np.concatenate([color, some["opacities"][:, None]], 1) * 255).astype(np.uint32)
    packed = sum(bytes_[:, i] << np.uint32(shift) for i, shift in enumerate((24, 16, 8, 0)))
    columns = {
        "packed_position": three(unit[""]),
        "packed_rotation": rotation,
        "packed_scale": three(unit["scale_"]),
        "packed_color": packed,
    }
    return write_ply(path, [("chunk", table(boxes)), ("vertex", table(columns, "<u4"))])


def covariances(turns: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """[N, 3, 3] of Gaussians with 2 or 3 scales."""
    axes = quaternion.to_matrix(torch.as_tensor(turns).double()).numpy()[:, :, : scales.shape[1]] * scales[:, None]
    return axes @ axes.transpose(0, 2, 1)


def square_ply(path: Path, *, order: str = "<") -> Path:
    """A unit square in the plane z = 0.5 as one quad, its corners black, red, yellow and green."""
    dtype = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    corners = [(0, 0, 0.5, 0, 0, 0), (1, 0, 0.5, 255, 0, 0), (1, 1, 0.5, 255, 255, 0), (0, 1, 0.5, 0, 255, 0)]
    faces = np.zeros(1, [("vertex_indices", "<i4", (4,))])
    faces["vertex_indices"] = [0, 1, 2, 3]
    return write_ply(path, [("vertex", np.array(corners, dtype)), ("face", faces)], order=order)


SQUARE_OBJ = """# a unit square, a quad with negative and slashed indices
v 0 0.5 0 0 0 0
v 0 0.5 1 0 1 0
v 1 0.5 1 1 1 0
v 1 0.5 0 1 0 0
vt 0 0
f -4/1 -3/1 3/1/1 4
"""
