"""Where exports go: files and folders that appear whole or not at all.

Does NOT know any format.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon4d.core import InputError
from recon4d.data.files import atomic_folder, atomic_path

_MARK = ".recon4d-export"  # in folders of our making: only those are ever replaced


def check_place(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Args:
        path: the output.
        suffixes: those that its name may have; none for a folder.
        overwrite: whether what is there may be replaced.  A folder is replaced only if an export has made it.

    Raises:
        InputError: another suffix, a name that is taken, or a folder above that is not there or is read-only.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(
            str(path), expected=f"a name ending in {' or '.join(suffixes)}", got=repr(path.name), fix="change the name"
        )
    if suffixes and path.is_dir():
        raise InputError(str(path), expected="a file", got="a folder of that name", fix="choose another name")
    if not suffixes and path.exists() and not path.is_dir():
        raise InputError(str(path), expected="a folder", got="a file of that name", fix="choose another name")
    filled = path.is_dir() and any(path.iterdir())
    if suffixes and path.exists() and not overwrite:
        raise InputError(str(path), expected="a new file", got="one that exists", fix="choose another, or --overwrite")
    if filled and not (overwrite and (path / _MARK).is_file()):
        ours = (path / _MARK).is_file()
        raise InputError(
            str(path),
            expected="a new or empty folder",
            got="an earlier export" if ours else "a folder with other files in it",
            fix="choose another place, or --overwrite" if ours else "choose another place, or empty the folder",
        )
    _check_writable(path)


def _check_writable(path: Path) -> None:
    above = Path(os.path.abspath(path)).parent
    if not above.is_dir():
        raise InputError(str(path), expected="a folder above that exists", got=f"no {above}", fix="make the folder")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=above)
    except OSError as error:
        raise InputError(
            str(path),
            expected="a place that can be written",
            got=error.strerror or str(error),
            fix="choose another place, or change its permissions",
        ) from None
    os.close(handle)
    os.unlink(name)


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place on success, and is removed on failure."""
    with atomic_path(path) as temporary:
        yield temporary


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place on success, and is removed on failure.

    An earlier export in its place is removed only when the new one is whole.
    """
    with atomic_folder(path, may_replace=lambda place: (place / _MARK).is_file()) as temporary:
        yield temporary
        (temporary / _MARK).write_text("Made by recon4d export, which may replace this folder.\n")
