"""What the stages before the fit share: progress callbacks and a folder that keeps finished work.

A stage's key is a hash of its settings and of the keys or contents of everything it read, so the same input gives the
same key on every machine, and a changed setting starts that stage and those after it anew.  A result is a folder
STAGE-KEY of `.npy` files and `record.json`, written under a temporary name and renamed when it is complete: a kill at
any moment leaves the whole result or none.  Does NOT remove results that are no longer used.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from recon4d.core import InputError
from recon4d.data.files import StorageError, read_json, write_json

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how many parts of it are done, and how many there are."""

RECORD = "record.json"
_CHUNK = 1 << 20


def no_progress(stage: str, done: int, total: int) -> None:
    """The progress callback that tells nobody."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise InputError(
            str(path), expected="a readable file", got=error.strerror or str(error), fix="check the path"
        ) from None
    return digest.hexdigest()


def array_digest(*arrays: Shaped[np.ndarray, "..."] | None) -> str:
    """SHA-256 of types, shapes and values of arrays; None counts as a value of its own."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for part in array if array.ndim > 1 else (array,):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def stage_key(stage: str, version: int, settings: object, *inputs: str) -> str:
    """Key of a stage's result: 24 hexadecimal digits.

    Args:
        stage: name of the stage.
        version: raised whenever the stage's method changes its results.
        settings: a dataclass of plain values.
        inputs: keys or digests of all that the stage reads.
    """
    assert dataclasses.is_dataclass(settings)
    assert not isinstance(settings, type)
    content = json.dumps([stage, version, dataclasses.asdict(settings), list(inputs)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


class StageCache:
    """Finished stages in one work folder.

    Args:
        folder: made when it does not exist.

    Raises:
        InputError: the folder cannot be made or is a file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                str(folder),
                expected="a work folder that can be written",
                got=error.strerror or type(error).__name__,
                fix="choose another place",
            ) from None

    def path(self, stage: str, key: str) -> Path:
        """Where the result lies, or would lie."""
        return self.folder / f"{stage}-{key}"

    def load(self, stage: str, key: str) -> tuple[dict[str, object], dict[str, Shaped[np.ndarray, "..."]]] | None:
        """Record and read-only, memory-mapped arrays of a finished stage; None where it is missing or damaged."""
        folder = self.path(stage, key)
        try:
            record = read_json(folder / RECORD)
            names = record["arrays"]
            assert isinstance(names, list)
            arrays = {str(name): np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
        except (InputError, OSError, ValueError, KeyError, AssertionError):
            return None
        return record, arrays

    @contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Path]:
        """A new folder to write the arrays and the record into; it takes its place when the block ends well."""
        final = self.path(stage, key)
        temporary = Path(tempfile.mkdtemp(prefix=f".{stage}-", dir=self.folder))
        try:
            yield temporary
            for path in temporary.iterdir():
                with path.open("rb+") as stream:
                    os.fsync(stream.fileno())
            temporary.chmod(0o755)
            if final.exists():  # Damaged: a sound one would have been loaded.
                shutil.rmtree(final)
            temporary.replace(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def store(
        self, stage: str, key: str, record: Mapping[str, object], arrays: Mapping[str, Shaped[np.ndarray, "..."] | None]
    ) -> None:
        """Write a result; arrays that are None are left out.

        Raises:
            InputError: the record holds something that JSON does not know.
        StorageError: the disk is full.
        """
        kept = {name: array for name, array in arrays.items() if array is not None}
        try:
            with self.writing(stage, key) as folder:
                for name, array in kept.items():
                    np.save(folder / f"{name}.npy", array, allow_pickle=False)
                write_json(folder / RECORD, {**record, "arrays": sorted(kept)})
        except OSError as error:
            raise cannot_write(self.folder, error) from None


def mapped_array(path: Path, kind: np.dtype[Any], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """A new `.npy` file of zeros, memory-mapped for writing, whose place on the disk is taken at once.

    A mapped file with holes would end the process by a signal (SIGBUS) when the disk has no room for a page of it.

    Raises:
        OSError: the disk is full.
    """
    array = np.lib.format.open_memmap(path, "w+", kind, shape)
    with path.open("rb+") as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            stream.seek(size - array.nbytes)
            for start in range(0, array.nbytes, _CHUNK):
                stream.write(bytes(min(_CHUNK, array.nbytes - start)))
    return array


def cannot_write(folder: Path, error: OSError) -> StorageError:
    """The error for a work folder that takes no more files."""
    return StorageError(
        str(folder),
        expected="room for the work files",
        # What numpy raises when it could write a part only has neither number nor reason but a text.
        got=error.strerror or str(error) or type(error).__name__,
        fix="free some space or choose another work folder",
    )


def open_cache(work: str | Path | StageCache | None) -> StageCache | None:
    """The cache of a folder, of itself, or none."""
    return work if work is None or isinstance(work, StageCache) else StageCache(work)
