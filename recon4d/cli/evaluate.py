"""`recon4d evaluate`: scores of a scene, or of a folder of images, as a table, JSON and a page."""

from __future__ import annotations

from pathlib import Path

from recon4d.cli.console import busy, print_line, print_table
from recon4d.core import InputError
from recon4d.evaluate import Settings, evaluate_images, evaluate_scene, write_html


def score(
    scene: Path | None,
    against: Path,
    *,
    images: Path | None,
    masks: Path | None,
    protocol: str | None,
    settings: Settings,
    json: Path | None,
    html: Path | None,
    quiet: bool,
) -> None:
    """Measure, write what was asked for, and print the table unless `quiet`.

    Raises:
        InputError: not exactly one of `scene` and `images`, options of one with the other, or input that cannot be
            scored.
    """
    if (scene is None) == (images is None):
        raise InputError(
            "evaluate",
            expected="a scene, or --images with a folder",
            got="neither" if scene is None else "both",
            fix="recon4d evaluate NAME.r4d --against DIR, or recon4d evaluate --images A --against B",
        )
    _refuse("--masks", masks, "with --images only", unless=images is not None)
    _refuse("--protocol", protocol, "with a scene only", unless=scene is not None)
    _refuse("--meshes", settings.meshes, "with a scene only", unless=scene is not None)
    for path in (json, html):
        # Before the work, not after it.
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(
                str(path), expected="a file in a folder that exists", got="no such folder", fix="create the folder"
            )
    with busy("scoring", quiet=quiet):
        if images is not None:
            result = evaluate_images(images, against, masks=masks, settings=settings)
        else:
            assert scene is not None  # one of the two is there
            result = evaluate_scene(scene, against, protocol=protocol or "all", settings=settings)
    if json is not None:
        result.write_json(json)
    if html is not None:
        write_html(result, html)
    if quiet:
        return
    print_table(["score", "value", "unit"], [list(row) for row in result.table()])
    for note in result.notes:
        print_line(note)
    for path in (json, html):
        if path is not None:
            print_line(f"Written: {path}")


def _refuse(option: str, value: object, expected: str, *, unless: bool) -> None:
    if value is not None and not unless:
        raise InputError(option, expected=expected, got=str(value), fix="leave it out")
