"""Old versions of the scene document, step by step to the present one.

To change the format: raise `FORMAT_VERSION`, add the step from the version before to `MIGRATIONS`, and keep a scene of
the version before in tests/scene/golden.  Steps work on the parsed JSON only; arrays that change are handled where
they are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recon4d.core import SceneFormatError
from recon4d.scene.document import FORMAT, FORMAT_VERSION, Node

Migration = Callable[[dict[str, Any]], dict[str, Any]]

# Version n to the step that makes a document of version n + 1 out of one of version n.  Version 1 is the first.
# From 1 to 2: more can be said, nothing is said in another way.
MIGRATIONS: dict[int, Migration] = {1: dict}


def migrate(document: Node, *, migrations: Mapping[int, Migration] = MIGRATIONS, present: int = FORMAT_VERSION) -> Node:
    """The document in the present version.

    Raises:
        SceneFormatError: it is no scene, or of a version that is newer than this program, or its step fails.
    """
    members = document.members()
    for key in ("format", "format_version"):
        if key not in members:
            raise document.error(f"a scene document with {key!r}", f"no {key!r}", fix="is this the right folder?")
    members["format"].choice(FORMAT)
    version = members["format_version"].whole(least=1, most=2**31)
    if version > present:
        raise members["format_version"].error(
            f"at most {present}", fix="the scene was saved by a newer recon4d; upgrade this one to read it"
        )
    value = document.value
    for step in range(version, present):
        try:
            value = {**migrations[step](value), "format_version": step + 1}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SceneFormatError):
                raise
            raise document.error(f"a scene document of version {step}", f"one that lacks something ({error})") from None
    return Node(document.file, document.field, value)
