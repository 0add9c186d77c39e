"""Writing scripts of edits in Python: the edits are the dataclasses themselves, and the builder collects them.

    with Builder("ear.json") as edits:
        edits.add(Transform(select=Part(name="left ear"), scale=1.6))

The file is the document that `recon4d edit SCENE.r4d ear.json` reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from recon4d.editors.document import stack_to_bytes
from recon4d.editors.edits.base import Edit
from recon4d.editors.edits.organise import NamePart
from recon4d.editors.selections.base import Selection
from recon4d.editors.selections.basic import Part
from recon4d.editors.stack import EditStack
from recon4d.editors.store import cannot_write
from recon4d.scene.folder import write_atomic


class Builder:
    """Collects edits in order and writes them as a script.

    Attributes:
        stack: the edits so far.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """`path` is where the script goes when a `with` block ends well."""
        self.stack = EditStack()
        self._path = None if path is None else Path(path)

    def add(self, edit: Edit) -> Edit:
        """Append an edit; it comes back with the id that the stack gave it."""
        self.stack = self.stack.add(edit)
        return self.stack.edits[-1]

    def part(self, name: str, select: Selection) -> Part:
        """Name a part; what comes back selects it."""
        self.add(NamePart(part=name, select=select))
        return Part(name)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the script; InputError where that fails."""
        file = Path(path)
        try:
            write_atomic(file.parent, file.name, [stack_to_bytes(self.stack)])
        except OSError as error:
            raise cannot_write(file, error) from error

    def __enter__(self) -> Builder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._path is not None:
            self.write(self._path)
