"""`meta.json`: what a data set says of itself beside its cameras.  All fields are optional.

`background` [r, g, b] display sRGB in [0, 1] or null, `metres_per_unit`, `fps`, `mesh_times` (seconds of the files in
`meshes/`, in the order of their names).  Any other field passes through to `Dataset.meta`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recon4d.data.files import read_json
from recon4d.data.formats.record import Record, array, wrong

NAME = "meta.json"


@dataclass(frozen=True)
class Meta:
    """The file, read."""

    content: dict[str, object]
    background: tuple[float, float, float] | None
    metres_per_unit: float | None
    fps: float | None
    meshes: Path | None

    @property
    def says_background(self) -> bool:
        """Whether the file speaks of the background at all (null counts)."""
        return "background" in self.content


def read_meta(root: Path) -> Meta:
    """Read `root/meta.json`, or the defaults where there is none; looks for `root/meshes` too.

    Raises:
        InputError: broken JSON, or a field of the wrong type.
    """
    path = root / NAME
    content = read_json(path) if path.is_file() else {}
    record = Record(content, str(path))
    background = None
    if record.has("background"):
        color = record.array("background", (3,))
        if color.min() < 0 or color.max() > 1:
            raise wrong(record.place("background"), "three numbers in [0, 1]", color.tolist())
        background = (float(color[0]), float(color[1]), float(color[2]))
    if record.has("mesh_times"):
        array(record.value("mesh_times"), record.place("mesh_times"), (len(record.items("mesh_times")),))
    meshes = root / "meshes"
    return Meta(
        content,
        background,
        record.number("metres_per_unit", above=0.0) if record.has("metres_per_unit") else None,
        record.number("fps", above=0.0) if record.has("fps") else None,
        meshes if meshes.is_dir() else None,
    )
