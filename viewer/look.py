"""How a client looks at the scene: what is drawn, on which background, in which light.

Values only.  Does NOT draw: `splats`, `exact` and `overlays` do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["Colour", "Depth", "Normals", "Coverage", "Confidence", "Bones", "Trails", "Mesh"]
MODES: tuple[Mode, ...] = ("Colour", "Depth", "Normals", "Coverage", "Confidence", "Bones", "Trails", "Mesh")
HINTS: dict[Mode, str] = {
    "Colour": "The scene as it looks.",
    "Depth": "Near is light, far is dark.",
    "Normals": "Which way surfaces face: right is red, up is green, towards you is blue.",
    "Coverage": "White is solid, black is empty.",
    "Confidence": "Green was seen by the input camera, violet is a guess.",
    "Bones": "A colour for each bone, and where it is.",
    "Trails": "The paths that points take through time.",
    "Mesh": "Triangles made of the scene, as an export writes them.",
}


@dataclass(frozen=True)
class Look:
    """One client's way of looking.

    Attributes:
        mode: what is drawn.
        background: display sRGB in [0, 1].
        brightness: factor on colours.
        lamp: how much a lamp shades the surface, 0 (as filmed) to 1.
        lamp_azimuth: degrees around the viewer's up, 0 is behind the viewer, 90 on the right.
        lamp_elevation: degrees above the viewer.
        guesses: tint what no input camera saw.
        exact: show our own rasterizer's picture when the camera rests.
    """

    mode: Mode = "Colour"
    background: tuple[float, float, float] = (0.93, 0.93, 0.94)
    brightness: float = 1.0
    lamp: float = 0.0
    lamp_azimuth: float = 30.0
    lamp_elevation: float = 40.0
    guesses: bool = False
    exact: bool = True
