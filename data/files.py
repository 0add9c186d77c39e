"""Files at the border: atomic writes, JSON with finite numbers, and file names that cannot leave their folder.

Does NOT know any format; readers and writers in this room share these few helpers so that each refuses the same
things with the same words.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recon4d.core import InputError

MAX_JSON_BYTES = 1 << 30  # The largest camera file seen in the wild is a few megabytes.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageError(InputError):
    """Files cannot be written.  Nothing is wrong with the input: what was made so far is worth keeping."""


def disk_error(error: BaseException) -> OSError | None:
    """The full disk, used-up quota or limit on files that an error says or was raised on; None for other errors."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in _FULL:
            return found
        found = found.__cause__ or found.__context__
    return None


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; on success it is flushed to disk and takes the place of `path`.

    A reader sees the old file or the new one, never half.  The temporary name keeps the suffix, because encoders
    choose the container by it.  The file gets the permissions that a plain `open(path, "w")` would have given it.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise InputError(
            str(path),
            expected="a file name in a folder that exists and can be written",
            got=error.strerror or type(error).__name__,
            fix="create the folder or choose another place",
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, *, may_replace: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    Folders above that do not exist are made.  A folder with files is replaced only where `may_replace` says so when the
    new one is whole, and is there again where it cannot be replaced after all.

    Args:
        path: of the folder.
        may_replace: whether a folder with files, which is there already, may go.

    Raises:
        InputError: the folder cannot be made there, or may not be replaced.
    """
    # Absolute, because "." has neither a name nor a parent.
    place = Path(os.path.abspath(path))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise InputError(
            str(path), expected="a place for a folder", got=error.strerror or str(error), fix="choose another place"
        ) from None
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        _take_place(temporary, place, may_replace)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, place: Path, may_replace: Callable[[Path], bool]) -> None:
    try:
        os.rename(temporary, place)  # an empty folder is replaced
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not may_replace(place):
            raise InputError(
                str(place),
                expected="a new or empty folder",
                got=error.strerror or str(error),
                fix="choose another place",
            ) from None
        old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        os.rename(place, old)
        try:
            os.rename(temporary, place)
        except OSError:
            os.rename(old, place)
            raise
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, content: Mapping[str, object]) -> None:
    """Write JSON atomically; the same content gives the same bytes.

    Raises:
        InputError: a number is NaN or infinite (JSON has none), or a value is of a type JSON does not know.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise InputError(
            str(path),
            expected="finite numbers, strings, lists and dictionaries",
            got=str(error),
            fix="convert arrays with .tolist() and remove NaN",
        ) from None
    write_bytes(path, (text + "\n").encode())


def _no_constant(name: str) -> float:
    raise ValueError(f"the number {name}, which JSON does not have")


def read_json(path: str | Path) -> dict[str, object]:
    """Read a JSON file that holds one object, refusing NaN and infinity.

    Raises:
        InputError: the file is missing, not UTF-8 JSON, nested beyond reason, or not an object at the top.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_constant)
    except OSError as error:
        raise InputError(
            str(path), expected="a readable file", got=error.strerror or str(error), fix="check the path"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            str(path), expected="a JSON file", got=str(error) or "nesting too deep", fix="mend or export the file again"
        ) from None
    if not isinstance(content, dict):
        raise InputError(
            str(path),
            expected="a JSON object {...}",
            got=type(content).__name__,
            fix="check that this is the right file",
        )
    return content


def inside(root: Path, relative: str, *, what: str) -> Path:
    """The path `root / relative`, refused when it would leave `root`.

    Data sets are shared files: a name such as `../../.ssh/id` or `/etc/passwd` must not be followed.  The check is on
    the name, so a link that the owner of the folder made on purpose still works.

    Args:
        root: folder of the data set.
        relative: file name as the data set gives it, with `/` or `\\` between folders.
        what: file and field for the error text.

    Raises:
        InputError: absolute path, drive letter, a NUL, or more `..` than there are folders to leave.
    """
    name = relative.replace("\\", "/")
    parts: list[str] = []
    escaped = name.startswith("/") or name[1:2] == ":" or "\0" in name
    for part in name.split("/"):
        if part == "..":
            if parts:
                parts.pop()
            else:
                escaped = True
        elif part not in ("", "."):
            parts.append(part)
    if escaped or not parts:
        raise InputError(
            what,
            expected=f"a file name inside {root}",
            got=repr(relative[:200]),
            fix="use paths relative to the folder of the data set",
        )
    return root.joinpath(*parts)


def relative_name(root: Path, path: Path, *, what: str) -> str:
    """`path` as written into a file of the folder `root`, with `/` between folders.

    Raises:
        InputError: `path` is not inside `root`.
    """
    try:
        return Path(os.path.abspath(path)).relative_to(os.path.abspath(root)).as_posix()
    except ValueError:
        raise InputError(
            what,
            expected=f"a file inside {root}",
            got=str(path),
            fix="put the images into the folder of the data set before writing it",
        ) from None
