"""The named ways to measure, and the settings that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recon4d.core import InputError
from recon4d.evaluate.emd import SAMPLES
from recon4d.evaluate.flip_ldr import PIXELS_PER_DEGREE

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Protocol:
    """What a protocol measures.

    Attributes:
        name: as given on the command line.
        description: one sentence.
        views: which images: "test" (the test split), "between" (every frame of the training video that is not a
            multiple of 4), "any" (the test split, else val, else between), or "none".
        whole, masked: scores over the whole image, scores inside the subject's mask.
        geometry, tracks, stability: the further groups of scores.
    """

    name: str
    description: str
    views: Literal["test", "between", "any", "none"]
    whole: bool = False
    masked: bool = False
    geometry: bool = False
    tracks: bool = False
    stability: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("dnerf", "The test split as whole images on one background, as D-NeRF.", "test", whole=True),
        Protocol(
            "every4",
            "A single video: trained on frames 0, 4, 8, ..., scored on the frames between, as Vidu4D.",
            "between",
            whole=True,
            masked=True,
        ),
        Protocol("masked", "The test split, inside the subject's masks only.", "any", masked=True),
        Protocol("geometry", "The subject's surface against the true meshes.", "none", geometry=True),
        Protocol("tracks", "Points of the true surface followed through time.", "none", tracks=True),
        Protocol(
            "all",
            "Everything that the data set has a truth for.",
            "any",
            whole=True,
            masked=True,
            geometry=True,
            tracks=True,
            stability=True,
        ),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name; InputError when there is none."""
    if name not in PROTOCOLS:
        raise InputError("protocol", expected=" or ".join(PROTOCOLS), got=repr(name), fix="choose one of these")
    return PROTOCOLS[name]


@dataclass(frozen=True)
class Settings:
    """How to measure; the defaults are what published scores mean.

    Attributes:
        background: "white", "black", or "auto": the data set's own colour, white where it names none (the D-NeRF
            convention).
        max_side: average images down so that no side is longer; None scores them as they are.
        align: "auto" aligns the scene once to the truth's cameras when its own differ from them, "never" does not;
            "moment" places it anew at every moment, as clips need that do not tell how the subject moves in the world.
        geometry_frames: at most so many times, spread evenly, are scored for geometry, tracks and persistence.
        samples: points on each surface for Chamfer, F-score, normals and CD.
        emd_frames, emd_samples: the earth mover's distance is measured on so many of these times, with so many points.
        track_points: points of the true surface that are followed.
        any_orientation: for CD, also align from all axis permutations (shapes from tools with axes of their own).
        pixels_per_degree: for FLIP.
        worst: how many of the worst frames the report shows.
        seed: of all sampling.
        backend: of `rasterize`.
        lpips: file of LPIPS weights; None looks at RECON4D_LPIPS_WEIGHTS, and leaves LPIPS out when that is unset.
        meshes: folder with the prediction's own meshes (*.ply, sorted by name, one for each true mesh, in the scene's
            frame), scored instead of its surfels for Chamfer, EMD, F-score and normals.
    """

    background: Literal["auto", "white", "black"] = "auto"
    max_side: int | None = None
    align: Literal["auto", "moment", "never"] = "auto"
    geometry_frames: int = 16
    samples: int = 20_000
    emd_frames: int = 4
    emd_samples: int = SAMPLES
    track_points: int = 2000
    any_orientation: bool = False
    pixels_per_degree: float = PIXELS_PER_DEGREE
    worst: int = 6
    seed: int = 0
    backend: Literal["auto", "reference", "cpu", "cuda"] = "auto"
    lpips: Path | None = None
    meshes: Path | None = None

    def __post_init__(self) -> None:
        for name in ("geometry_frames", "samples", "emd_frames", "emd_samples", "track_points", "max_side"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(name, expected="at least 1", got=str(value), fix="leave it at its default")


def background_color(setting: str, own: Color | None) -> Color:
    """The colour [0, 1] that a setting means for a data set whose own background is `own`."""
    if setting == "auto":
        return own if own is not None else (1.0, 1.0, 1.0)
    return {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}[setting]


def color_name(color: Color) -> str:
    """ "white", "black" or "#rrggbb"."""
    levels = (round(255 * color[0]), round(255 * color[1]), round(255 * color[2]))
    return {(255, 255, 255): "white", (0, 0, 0): "black"}.get(levels, "#{:02x}{:02x}{:02x}".format(*levels))
