"""The scene document, `scene.json`, version 2, and reading JSON that is not to be trusted.

    {
      "format": "recon4d-scene",
      "format_version": 2,
      "units": {"metres_per_unit": null},
      "times": [0.0, ...],                                   seconds, one per frame, strictly increasing
      "cameras": [{"dtype": "float32", "width": 640, "height": 480, "fx": .., "fy": .., "cx": .., "cy": ..,
                   "cam_from_world": [[4 numbers] x 4]}, ...],                      one per frame, OpenCV axes
      "layers": [{"name": "cat", "kind": "object", "count": N, "arrays": FILE, "warp": WARP}, ...],
      "provenance": {}                                       any JSON
    }

    FILE: {"file": "surfels-0123...safetensors", "bytes": size, "sha256": hexadecimal}, a plain name in the same folder
    WARP: {"kind": "identity"}
          {"kind": "rigid", "path": {"start": s, "step": s}, "arrays": FILE}
          {"kind": "bones", "blend": "linear" | "dual_quaternion", "root": {"start": s, "step": s} | null,
           "path": {"start": s, "step": s}, "arrays": FILE}
          {"kind": "residual", "start": s, "step": s, "base": WARP that is no residual, "arrays": FILE}

The arrays in the files are listed in `codec.py`.  Keys that are not listed are refused: a change of the format is a
new version.

Version 2 came with the residual warp and with surfels that are drawn with a turn and size of their own.  Version 1 has
neither, and is otherwise the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recon4d.core import SceneFormatError

FORMAT = "recon4d-scene"
FORMAT_VERSION = 2

# Parsed JSON takes up to some 25 times its size in memory; about 20,000 cameras fit in this many bytes.
MAX_DOCUMENT_BYTES = 16 * 2**20

DAMAGED = "the file is damaged or was changed by hand; restore it from a copy or save the scene again"


def shown(value: object) -> str:
    """A value as it appears in an error: on one line, at most 60 characters."""
    # Slices first, because a hostile text or number may be megabytes long.
    if isinstance(value, str):
        text = repr(value[:60])
    elif isinstance(value, dict | list):
        text = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        text = "a huge number"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Node:
    """A value of a JSON document that knows where it stands, so that errors can say so.

    Attributes:
        file: path of the file, for errors.
        field: place within the document, "cameras[3].fx"; empty for the whole.
        value: what `json` made of it.
    """

    file: str
    field: str
    value: Any

    def error(self, expected: str, got: object = None, fix: str = DAMAGED) -> SceneFormatError:
        """The error that this value is not what it should be."""
        text = got if isinstance(got, str) else shown(self.value)
        return SceneFormatError(f"{self.file}: {self.field or 'document'}", expected=expected, got=text, fix=fix)

    def members(self) -> dict[str, Node]:
        """The members of an object, whatever their names."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        dot = f"{self.field}." if self.field else ""
        return {key: Node(self.file, f"{dot}{key[:60]!s}", value) for key, value in self.value.items()}

    def object(self, *keys: str) -> dict[str, Node]:
        """The members of an object that must have exactly these keys."""
        members = self.members()
        if set(members) != set(keys):
            missing = [key for key in keys if key not in members]
            unknown = sorted(key for key in members if key not in keys)
            found = f"no {missing[0]!r}" if missing else f"an unknown key {shown(unknown[0])}"
            raise self.error(f"the keys {', '.join(keys)}", found)
        return members

    def items(self, *, count: int | None = None, at_most: int | None = None) -> list[Node]:
        """The values of a list, of a given length."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        if count is not None and len(self.value) != count:
            raise self.error(f"a list of {count}")
        if at_most is not None and len(self.value) > at_most:
            raise self.error(f"a list of at most {at_most}")
        return [Node(self.file, f"{self.field}[{i}]", value) for i, value in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.error("a text")
        return self.value

    def choice(self, *options: str) -> str:
        """One of some strings."""
        if not isinstance(self.value, str) or self.value not in options:
            raise self.error(" or ".join(repr(option) for option in options))
        return self.value

    def whole(self, *, least: int, most: int) -> int:
        """A whole number within limits; 1.0 and true are none."""
        if type(self.value) is not int or not least <= self.value <= most:
            raise self.error(f"a whole number from {least} to {most}")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if type(self.value) not in (int, float):
            raise self.error("a number")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error("a finite number")
        return number

    def numbers(self, count: int | None = None) -> list[float]:
        """A list of finite numbers."""
        return [item.number() for item in self.items(count=count)]


def parse(data: bytes, file: str) -> Node:
    """Parse strict JSON: UTF-8, no NaN or Infinity, no key twice, no nesting without end.

    Raises:
        SceneFormatError: it is not such JSON.  The caller has limited its size.
    """
    whole = Node(file, "", None)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise whole.error("UTF-8 text", f"a wrong byte at {error.start}") from None
    except RecursionError:
        raise whole.error("JSON", "values nested too deeply") from None
    except ValueError as error:
        raise whole.error("JSON", str(error)[:120].replace("\n", " ")) from None
    return Node(file, "", value)


def to_bytes(document: dict[str, Any]) -> bytes:
    """The document as it is written: readable, numbers exact, the same for the same document."""
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("ascii")


def canonical_bytes(value: object) -> bytes:
    """The one way to write a JSON value that hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key that stands twice in an object")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"the number {constant}")
