"""A data set: views in a fixed order, and what the files say about all of them together.

Does NOT read files; the readers in `recon4d.data.formats` make data sets with `make_dataset`, and `read_dataset` finds
the right reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, UInt8

from recon4d.core import InputError
from recon4d.data.view import SPLITS, View


@dataclass(frozen=True, eq=False)
class Points:
    """Points from structure from motion.

    Attributes:
        positions: [P, 3] in the world of the data set.
        colors: [P, 3] display sRGB.
        errors: [P] mean reprojection error in pixels, -1 where unknown.
    """

    positions: Float64[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]
    errors: Float64[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Views and what is known about all of them.

    Attributes:
        root: folder (or file) it was read from.
        format: "blender", "nerfstudio", "colmap", "dycheck", "multicam", "llff", "images" or "video".
        description: one line that says what was detected.
        views: ordered by split (train, val, test), time, camera id and name.
        background: display sRGB that transparent images belong on; None = unknown, or real footage.
        metres_per_unit: size of the scene unit, None = unknown.
        scale, center: x_in_dataset = (x_in_file - center) * scale.
        meshes: folder with true meshes, None where there is none.
        points: points from structure from motion.
        meta: what else the files say.
        warnings: sentences on what was assumed, ignored or looks odd.
    """

    root: Path
    format: str
    description: str
    views: tuple[View, ...]
    background: tuple[float, float, float] | None = None
    metres_per_unit: float | None = None
    scale: float = 1.0
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    meshes: Path | None = None
    points: Points | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[View, ...]:
        """Views of one split, possibly none."""
        return tuple(view for view in self.views if view.split == name)

    @property
    def splits(self) -> dict[str, tuple[View, ...]]:
        """The splits that have views."""
        return {name: views for name in SPLITS if (views := self.split(name))}

    @property
    def times(self) -> Float64[np.ndarray, " f"]:
        """[F] the different times of all views in seconds, sorted."""
        return np.unique([view.time for view in self.views])

    @property
    def camera_ids(self) -> tuple[str, ...]:
        """The different camera ids, sorted."""
        return tuple(sorted({view.camera_id for view in self.views}))

    def mesh_files(self) -> list[tuple[float, Path]]:
        """(time in seconds, file) of the true meshes, by time: `meta["mesh_times"]`, else the times of the data set.

        Raises:
            InputError: the number of files is not the number of times.
        """
        if self.meshes is None:
            return []
        files = sorted(path for path in self.meshes.iterdir() if path.suffix.lower() in (".ply", ".obj"))
        given = self.meta.get("mesh_times")
        times = [float(time) for time in given] if isinstance(given, list) else self.times.tolist()
        if len(times) != len(files):
            raise InputError(
                str(self.meshes),
                expected=f"{len(times)} meshes, one for each time",
                got=f"{len(files)}",
                fix="correct mesh_times in meta.json",
            )
        return list(zip(times, files, strict=True))


def normalized_times(times: Sequence[float]) -> list[float]:
    """(time - first) / (last - first), 0 for all where there is one time only."""
    first, last = min(times), max(times)
    return [(time - first) / (last - first) if last > first else 0.0 for time in times]


def make_dataset(
    root: Path,
    format: str,
    description: str,
    views: Sequence[View],
    *,
    background: tuple[float, float, float] | None = None,
    metres_per_unit: float | None = None,
    scale: float = 1.0,
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    meshes: Path | None = None,
    points: Points | None = None,
    meta: Mapping[str, object] | None = None,
    warnings: Sequence[str] = (),
) -> Dataset:
    """Order the views, fill `time_normalized`, and check that there are some and that no name comes twice.

    Raises:
        InputError: no views, or two views of one split with one name.
    """
    if not views:
        raise InputError(
            str(root), expected="at least one image", got="none", fix="check that the data set is complete"
        )
    seen: set[tuple[str, str]] = set()
    for view in views:
        if (view.split, view.name) in seen:
            raise InputError(
                str(root), expected="each image once in a split", got=f"{view.name!r} twice", fix="remove one of them"
            )
        seen.add((view.split, view.name))
    timed = [
        replace(view, time_normalized=time)
        for view, time in zip(views, normalized_times([view.time for view in views]), strict=True)
    ]
    timed.sort(key=lambda view: (SPLITS.index(view.split), view.time, view.camera_id, view.name))
    return Dataset(
        root=root,
        format=format,
        description=description,
        views=tuple(timed),
        background=background,
        metres_per_unit=metres_per_unit,
        scale=scale,
        center=center,
        meshes=meshes,
        points=points,
        meta=MappingProxyType(dict(meta or {})),
        warnings=tuple(warnings),
    )
