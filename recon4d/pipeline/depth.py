"""Depth maps for the fit: those of the data set, those that the user gives, or a learned model's.

Those of a data set with cameras are in its units; others are in units of their own; and most learned models tell only
what is nearer.  Does NOT bring them to the scene's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from recon4d.core import InputError
from recon4d.data import View
from recon4d.data.images import IMAGE_SUFFIXES
from recon4d.data.learned import learned_depth, open_weights
from recon4d.data.motion import Clip, StageCache
from recon4d.data.motion.stage import Progress
from recon4d.data.view import ARRAY_SUFFIXES
from recon4d.pipeline.given_masks import by_frame
from recon4d.pipeline.settings import is_learned
from recon4d.pipeline.stages import StageRecord
from recon4d.train.capture import DepthKind

InverseDepth = Float32[np.ndarray, "h w"]
_SUFFIXES = {*ARRAY_SUFFIXES, *IMAGE_SUFFIXES}


@dataclass(frozen=True, eq=False)
class GivenDepth:
    """Depth files, one for each view or None: camera z, larger = farther, 0 where it is unknown.

    Attributes:
        where: as the user named it.
        files: .npy, .npz (`depth`) or 16-bit images.
    """

    where: str
    files: tuple[Path | None, ...]

    @staticmethod
    def find(where: str, views: Sequence[View]) -> GivenDepth:
        """Match the files to views.

        Raises:
            InputError: nothing there, or files that belong to other frames.
        """
        if where == "file":
            files = tuple(view.depth_path for view in views)
            if not any(files):
                raise InputError(
                    "--depth file",
                    expected="a data set with depth maps",
                    got="none in it",
                    fix="give their folder, or leave depth out",
                )
            return GivenDepth(where, files)
        folder = Path(where)
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
        if not found:
            got = "nothing there" if not folder.exists() else "a file" if folder.is_file() else "no depth maps in it"
            raise InputError(
                f"--depth {where}",
                expected="none, file, a folder of depth maps, or a learned model as in depth-anything:FOLDER",
                got=got,
                fix="check the path; .npy, .npz and 16-bit images are read",
            )
        return GivenDepth(where, by_frame(f"--depth {where}", found, views, "depth maps")[0])

    def load(self, views: Sequence[View], rows: Sequence[int], size: tuple[int, int]) -> list[InverseDepth | None]:
        """Inverse depth of some views at a size, NaN where it is unknown; None for those without a file."""
        loaded: list[InverseDepth | None] = []
        for row in rows:
            path = self.files[row]
            if path is None:
                loaded.append(None)
                continue
            depth = replace(views[row], depth_path=path).load_depth()
            assert depth is not None
            loaded.append(_inverse(depth, size, path))
        return loaded


@dataclass(frozen=True, eq=False)
class FoundDepth:
    """Inverse depth of each frame, None for those without, and what is known of its units."""

    maps: list[InverseDepth | None]
    kind: DepthKind


_UNITS: dict[DepthKind, str] = {
    "metric": "the scene's",
    "scaled": "of each frame's own",
    "relative": "none: it tells what is nearer",
}


def find_depth(
    clip: Clip,
    views: Sequence[View],
    given: GivenDepth | None,
    depth: str,
    posed: bool,
    used: Bool[np.ndarray, " t"],
    cache: StageCache,
    progress: Progress,
) -> tuple[FoundDepth | None, StageRecord]:
    """Inverse depth of the frames that are fitted, and how it came about.

    Args:
        clip: frames.
        views: of the source.
        given: files, where there are some.
        depth: what was asked for: `ADAPTER:FOLDER` where no files are given.
        posed: the data set's cameras are used, so that its depth maps are in the scene's units.
        used: [T] the frames that need it.
        cache: keeps what a learned model has said.
        progress: told how far it is.

    Raises:
        InputError: files that cannot be read, or a model that makes something else.
    """
    rows = np.flatnonzero(used)
    if given is not None:
        size = clip.width, clip.height
        maps: list[InverseDepth | None] = [None] * len(clip)
        sources = [int(clip.source_frames[t]) for t in rows]
        for t, loaded in zip(rows.tolist(), given.load(views, sources, size), strict=True):
            maps[t] = loaded
        known = sum(one is not None for one in maps)
        why = "the data set has it" if given.where == "file" else "given"
        kind: DepthKind = "metric" if given.where == "file" and posed else "scaled"
        facts = (("frames fitted", str(len(rows))), ("units", _UNITS[kind]))
        return FoundDepth(maps, kind), StageRecord("depth", f"{known} depth maps", why, facts)
    assert is_learned(depth)
    try:
        weights = open_weights(depth, makes="depth")
    except InputError as error:
        text = f"depth was left out: {error}"
        return None, StageRecord("depth", "none", "the model cannot be used", (), (text,), confident=False)
    found = learned_depth(clip, weights, frames=used, work=cache, progress=progress)
    guessed = [found.at(t) if used[t] else None for t in range(len(clip))]
    kind = "scaled" if found.metric else "relative"
    facts = (("frames fitted", str(len(rows))), ("units", _UNITS[kind]))
    why = "a learned model guesses it from each picture alone"
    return FoundDepth(guessed, kind), StageRecord("depth", found.model, why, facts)


def _inverse(depth: Float32[np.ndarray, "h w"], size: tuple[int, int], path: Path) -> InverseDepth:
    """1 / z of the nearest pixels."""
    import cv2

    height, width = depth.shape
    if abs(width * size[1] - height * size[0]) > max(size):
        raise InputError(
            str(path),
            expected=f"a depth map of the shape of its image, {size[0]}x{size[1]}",
            got=f"{width}x{height}",
            fix="make the depth maps from the same images",
        )
    if (width, height) != size:
        depth = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return np.divide(1, depth, out=np.full_like(depth, np.nan), where=depth > 0)
