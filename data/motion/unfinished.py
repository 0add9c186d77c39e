"""What a long stage has done so far, kept every few seconds: a run that is stopped loses these seconds, not the stage.

Each part of a stage (a loop) keeps the arrays that it needs to go on, in one file that is replaced whole.  They are the
very values, so the result of a stage that was stopped is that of one that was not.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from recon4d.data.files import atomic_path
from recon4d.data.motion.stage import StageCache, cannot_write

SECONDS = 10.0
"""Between two times that a loop's arrays are kept."""


class Unfinished:
    """The unfinished parts of one stage.

    Args:
        cache: whose folder keeps them; None keeps nothing.
        name: of the stage and its result; begins the files' names.
    """

    def __init__(self, cache: StageCache | None, name: str) -> None:
        self._cache, self._name = cache, name
        self._kept = time.monotonic()

    def inside(self, name: str) -> Unfinished:
        """Those of a step within the stage, whose parts have names of their own."""
        return Unfinished(self._cache, f"{self._name}.{name}")

    @property
    def due(self) -> bool:
        """Whether it is time to keep something again."""
        return self._cache is not None and time.monotonic() - self._kept >= SECONDS

    def load(self, part: str) -> dict[str, Shaped[np.ndarray, "..."]]:
        """What an earlier run has kept of a part; empty where there is nothing, or it is damaged."""
        if self._cache is None:
            return {}
        try:
            with np.load(self._path(self._cache, part), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return {}

    def keep(self, part: str, **arrays: Shaped[np.ndarray, "..."]) -> None:
        """Keep a part's arrays, if it is due.

        Raises:
            StorageError: the disk is full.
        """
        if self._cache is None or not self.due:
            return
        try:
            with atomic_path(self._path(self._cache, part)) as path, path.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
        except OSError as error:
            raise cannot_write(self._cache.folder, error) from None
        self._kept = time.monotonic()

    def forget(self) -> None:
        """Remove what was kept: the stage's result is there."""
        if self._cache is not None:
            for path in self._cache.folder.glob(f"{self._name}.*.npz"):
                path.unlink(missing_ok=True)

    def _path(self, cache: StageCache, part: str) -> Path:
        return cache.folder / f"{self._name}.{part}.npz"


@contextmanager
def unfinished(cache: StageCache | None, stage: str, key: str) -> Iterator[Unfinished]:
    """The unfinished parts of a stage whose result is stored within the block; forgotten when that ends well."""
    parts = Unfinished(cache, f"{stage}-{key}")
    yield parts
    parts.forget()
