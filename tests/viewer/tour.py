"""A newcomer's first quarter of an hour, by what the screen says: look, recolour the head for half of the clip, take it
back, film a turntable, export a mesh.  The pictures of docs/viewer.md are made on the way:

    python -m tests.viewer.tour docs/pictures
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.viewer.browser import Window, fox_folder, until, window

_SIDE = 1040  # pixels, of the pictures for the documents


def head_of(fox: Window) -> np.ndarray:
    """The middle of the head in the world, at the moment shown: the foremost surfels."""
    centers = fox.viewer.project.scene.layers[0].field.at(fox.session.playback.time).centers.double().numpy()
    found: np.ndarray = centers[centers[:, 0] > np.quantile(centers[:, 0], 0.9)].mean(0)
    return found


def color_at(fox: Window, name: str) -> np.ndarray:
    """The colour on the head in a screenshot."""
    pixels = fox.screenshot(name)
    x, y = (round(value) for value in fox.spot(head_of(fox)))
    found: np.ndarray = pixels[y - 4 : y + 5, x - 4 : x + 5].mean((0, 1))
    return found


def tour(fox: Window) -> dict[str, Path]:
    """Take the tour; the downloads by name."""
    page, project = fox.page, fox.viewer.project
    fox.dismiss()  # the browser's own warning about drawing without a GPU is not ours to show
    plain = color_at(fox, "viewer-open")

    # Select the head.
    fox.tool("w", "Rectangle")
    x, y = fox.spot(head_of(fox))
    fox.settled(lambda: fox.drag((x - 95, y - 190), (x, y), (x + 95, y + 75)), lambda: len(fox.session.selecting) > 200)
    fox.screenshot("viewer-select")
    fox.tool("v", "Look")

    # Recolour it for the first half of the clip.
    fox.choose("What", "Recolour")
    fox.check("Only for a part of the time")
    fox.fill("To (s)", "0.48")
    fox.settled(fox.button("Apply", -1).click, lambda: len(project.stack) == 1)
    fox.session.selecting.clear()
    fox.rest()
    fox.tab("History")
    early = color_at(fox, "viewer-recolour")
    fox.settled(lambda: fox.fill("Frame", "18"), lambda: fox.session.playback.frame == 18)
    late = color_at(fox, "viewer-recolour-later")
    assert early[2] - plain[2] > 40, (plain, early)
    assert late[2] - plain[2] < 40, (plain, late)
    fox.settled(lambda: fox.fill("Frame", "0"), lambda: fox.session.playback.frame == 0)

    # Take it back.
    fox.settled(fox.button("Undo").click, lambda: len(project.stack) == 0)
    undone = color_at(fox, "viewer-undo")
    assert np.abs(undone - plain).max() < 25, (plain, undone)
    fox.tab("Layers")

    # Look at it in other ways.
    fox.tab("Look")
    for mode in ("Depth", "Bones", "Trails", "Mesh"):
        fox.choose("Show", mode)
        until(lambda mode=mode: fox.session.look.mode == mode, "the mode")
        if mode == "Mesh":
            until(lambda: fox.session.shared.meshes.is_made(project.view.layers[0]), "the mesh")
            page.wait_for_timeout(1500)
        else:
            fox.rest()
        fox.screenshot(f"viewer-{mode.lower()}")
    fox.settled(lambda: fox.choose("Show", "Colour"), lambda: fox.session.look.mode == "Colour")
    page.get_by_text("Compare with the input", exact=True).click()
    fox.check("Show the input frame")
    page.wait_for_timeout(2500)
    fox.screenshot("viewer-compare")
    fox.check("Show the input frame")

    # Film a turntable, and export a mesh.
    made = {}
    fox.tab("Output")
    with page.expect_download() as download:
        fox.button("Render the film").click()
    made[download.value.suggested_filename] = Path(download.value.path())
    fox.screenshot("viewer-output")
    with page.expect_download() as download:
        fox.button("Export").click()
    made[download.value.suggested_filename] = Path(download.value.path())
    fox.tab("Help")
    fox.screenshot("viewer-help")
    return made


def small(picture: Path, place: Path, crop: tuple[float, float, float, float] | None = None) -> None:
    """A screenshot as a small file for documents; `crop` in shares of its sides."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    if crop is not None:
        left, top, right, bottom = crop
        image = image.crop(
            (
                round(left * image.width),
                round(top * image.height),
                round(right * image.width),
                round(bottom * image.height),
            )
        )
    if image.width > _SIDE:
        image = image.resize((_SIDE, round(image.height * _SIDE / image.width)), Image.Resampling.LANCZOS)
    image.quantize(96, dither=Image.Dither.NONE).save(place, optimize=True)


def sheet(pictures: list[Path], place: Path) -> None:
    """The scenes of some screenshots beside each other, without their panels."""
    from PIL import Image

    parts = []
    for path in pictures:
        image = Image.open(path).convert("RGB")
        part = image.crop(
            (
                round(0.32 * image.width),
                round(0.08 * image.height),
                round(0.72 * image.width),
                round(0.74 * image.height),
            )
        )
        parts.append(part.resize((round(part.width * 320 / part.height), 320), Image.Resampling.LANCZOS))
    whole = Image.new("RGB", (sum(part.width for part in parts), 320))
    x = 0
    for part in parts:
        whole.paste(part, (x, 0))
        x += part.width
    whole.quantize(128, dither=Image.Dither.NONE).save(place, optimize=True)


def main(target: Path) -> None:
    """Take the tour, and write the pictures of the documents."""
    with (
        tempfile.TemporaryDirectory() as folder,
        window(fox_folder(Path(folder), 12_000), Path(folder) / "shots") as fox,
    ):
        tour(fox)
        for name in ("open", "select", "recolour", "output", "compare"):
            small(fox.pictures / f"viewer-{name}.png", target / f"viewer-{name}.png")
        modes = [fox.pictures / f"viewer-{name}.png" for name in ("depth", "bones", "trails", "mesh")]
        sheet(modes, target / "viewer-modes.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
