"""Files of a scene folder, on the level of the operating system: opened with suspicion, replaced atomically, locked.

Knows nothing of what is in the files, except that array files of our own making have names of one pattern, so that
those out of use can be told from files that belong to somebody else.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from recon4d.core import SceneFormatError

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

DOCUMENT = "scene.json"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}\.safetensors")
_OWN_ARRAYS = re.compile(r"(surfels|warp)-[0-9a-f]{32}\.safetensors")
_OWN_TEMPORARY = re.compile(r"\.r4d-[0-9a-f]{16}\.tmp")

# A new scene's temporary folder is unlocked for a moment after it is made; leave it this many seconds.
_GRACE = 60.0


def array_file_name(role: str, sha256: str) -> str:
    """Name of an array file of that content, role "surfels" or "warp"."""
    return f"{role}-{sha256[:32]}.safetensors"


def is_plain_name(name: str) -> bool:
    """Whether the name can only be that of an array file in the folder itself."""
    return _PLAIN_NAME.fullmatch(name) is not None


def open_regular(folder: Path, name: str) -> int:
    """A file descriptor to read a regular file of the folder: no link, no device, no pipe.

    Raises:
        SceneFormatError: it is not there, is something else, or cannot be opened.
    """
    path = folder / name
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    # Opening a pipe would wait for a writer; the descriptor is checked, not the name, which may change in between.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        kind = os.lstat(path).st_mode
        if not stat.S_ISREG(kind):
            raise _unreadable(path, "a link" if stat.S_ISLNK(kind) else "something else")
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise _unreadable(path, "nothing there") from None
    except OSError as error:
        raise _unreadable(path, error.strerror or "an error") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unreadable(path, "something else")
    return descriptor


@contextlib.contextmanager
def locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Keep other savers out of the folder, and readers too when exclusive; the lock dies with the process.

    On systems and file systems without such locks nothing is locked: files are still replaced atomically, but two
    processes that save to one folder at the same moment may sweep each other's arrays.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def write_atomic(folder: Path, name: str, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file so that it is there whole, on the disk, or not at all; replaces what has the name."""
    temporary = folder / f".r4d-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, keep: Iterable[str]) -> None:
    """Remove temporary files and array files of our own making, except those to keep; nothing else is touched.

    A file that cannot be removed (mapped by a reader on some systems) stays for the next time.
    """
    kept = set(keep)
    for name in os.listdir(folder):
        ours = _OWN_TEMPORARY.fullmatch(name) or (_OWN_ARRAYS.fullmatch(name) and name not in kept)
        if ours and not stat.S_ISDIR(os.lstat(folder / name).st_mode):
            with contextlib.suppress(OSError):
                os.unlink(folder / name)


def new_sibling(folder: Path) -> Path:
    """Make a temporary folder beside `folder`, to be renamed to it; removes those that killed savers left."""
    _sweep_siblings(folder)
    temporary = folder.parent / f".{folder.name}.{secrets.token_hex(8)}.tmp"
    os.mkdir(temporary)
    return temporary


def _sweep_siblings(folder: Path) -> None:
    if fcntl is None:
        return
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{16}}\.tmp")
    for name in os.listdir(folder.parent):
        if not pattern.fullmatch(name):
            continue
        left = folder.parent / name
        with contextlib.suppress(OSError):
            if time.time() - os.lstat(left).st_mtime < _GRACE:
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                # Held by a saver that is still alive: this raises, and it stays.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(descriptor)


def _unreadable(path: Path, got: str) -> SceneFormatError:
    return SceneFormatError(
        str(path), expected="a regular file that can be read", got=got, fix="check the path of the scene"
    )
