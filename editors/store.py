"""`edits.json` beside a scene: reading and writing it.  Never touches the scene's own files."""

from __future__ import annotations

import os
from pathlib import Path

from recon4d.core import InputError
from recon4d.editors.document import MAX_DOCUMENT_BYTES, stack_from_json, stack_to_bytes
from recon4d.editors.stack import EditStack
from recon4d.scene.document import Node, parse
from recon4d.scene.folder import open_regular, sync_folder, write_atomic

FILE = "edits.json"


def load_stack(path: str | os.PathLike[str]) -> EditStack:
    """The edits of the scene in the folder `path`; an empty stack where there is no edits.json.

    Raises:
        SceneFormatError: the file cannot be read, or is damaged.
    """
    folder = Path(path)
    if not (folder / FILE).exists() and not (folder / FILE).is_symlink():
        return EditStack()
    return stack_from_json(parse(read_limited(folder, FILE), str(folder / FILE)))


def save_stack(stack: EditStack, path: str | os.PathLike[str]) -> None:
    """Write the edits of the scene in the folder `path`; a kill leaves the old file or the new one.

    Raises:
        InputError: the folder is not there, or cannot be written.
    """
    folder = Path(path)
    try:
        write_atomic(folder, FILE, [stack_to_bytes(stack)])
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(folder / FILE, error) from error


def read_limited(folder: Path, name: str) -> bytes:
    """All of a regular file of sane size."""
    descriptor = open_regular(folder, name)
    with open(descriptor, "rb") as stream:
        size = os.fstat(descriptor).st_size
        if size > MAX_DOCUMENT_BYTES:
            raise Node(str(folder / name), "", None).error(f"at most {MAX_DOCUMENT_BYTES} bytes", f"{size} bytes")
        return stream.read(size)


def cannot_write(file: Path, error: OSError) -> InputError:
    """The error that a file cannot be written."""
    return InputError(
        str(file),
        expected="a file that can be written, on a disk with enough space",
        got=error.strerror or str(error),
        fix="check that the scene's folder exists, its permissions, and the space left",
    )
