"""Surfels in USD: a particle field with the Gaussian surflet kernel, which is exactly a surfel.

The schema is `UsdVol.ParticleField` of OpenUSD 26.03.  Positions, orientations and, where colours depend on the view,
their coefficients are sampled at every moment; what does not change is written once.  Of the two kinds of numbers that
the schema has for each, floats are written: half floats turn large surfels visibly.  Does NOT know how surfels move.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recon4d.core.spherical_harmonics import degree_of
from recon4d.export.splats.ply import scales_of
from recon4d.export.splats.state import Splats, splats_at
from recon4d.export.usd.stage import Stage, Track, vec3f
from recon4d.scene import Layer

_SCHEMAS = (
    "ParticleFieldPositionAttributeAPI",
    "ParticleFieldOrientationAttributeAPI",
    "ParticleFieldScaleAttributeAPI",
    "ParticleFieldOpacityAttributeAPI",
    "ParticleFieldKernelGaussianSurfletAPI",
    "ParticleFieldSphericalHarmonicsAttributeAPI",
)
_SIGMAS = 3.0  # of a surfel that count for the bounds


def add_surfels(stage: Stage, layer: Layer) -> None:
    """Add the surfels of a layer, at all moments of the stage.

    Raises:
        InputError: a layer without colours.
    """
    from pxr import UsdVol

    field = UsdVol.ParticleField.Define(stage.usd, stage.path(layer.name))
    prim = field.GetPrim()
    prim.SetDisplayName(layer.name)
    for name in _SCHEMAS:
        getattr(UsdVol, name).Apply(prim)
    harmonics = UsdVol.ParticleFieldSphericalHarmonicsAttributeAPI(prim)
    attributes = {
        "positions": UsdVol.ParticleFieldPositionAttributeAPI(prim).CreatePositionsAttr(),
        "orientations": UsdVol.ParticleFieldOrientationAttributeAPI(prim).CreateOrientationsAttr(),
        "scales": UsdVol.ParticleFieldScaleAttributeAPI(prim).CreateScalesAttr(),
        "opacities": UsdVol.ParticleFieldOpacityAttributeAPI(prim).CreateOpacitiesAttr(),
        "harmonics": harmonics.CreateRadianceSphericalHarmonicsCoefficientsAttr(),
        "extent": field.CreateExtentAttr(),
    }
    tracks = {name: Track(attribute) for name, attribute in attributes.items()}
    for code, time in zip(stage.codes, stage.times, strict=True):
        splats = splats_at([layer], time)
        for name, values in _arrays(splats).items():
            tracks[name].add(code, _to_usd(name, values))
    harmonics.CreateRadianceSphericalHarmonicsDegreeAttr().Set(degree_of(splats.sh.shape[1]))
    for track in tracks.values():
        track.close()


def _arrays(splats: Splats) -> dict[str, np.ndarray]:
    reach = _SIGMAS * splats.scales.max(1, keepdims=True)
    return {
        "positions": splats.centers,
        "orientations": splats.rotations_wxyz,
        "scales": scales_of(splats),
        "opacities": splats.opacities,
        "harmonics": splats.sh.reshape(-1, 3),
        "extent": np.stack([(splats.centers - reach).min(0), (splats.centers + reach).max(0)]),
    }


def _to_usd(name: str, values: np.ndarray) -> Any:
    from pxr import Vt

    if name == "orientations":
        return Vt.QuatfArray.FromNumpy(np.ascontiguousarray(values[:, [1, 2, 3, 0]], np.float32))
    if name == "opacities":
        return Vt.FloatArray.FromNumpy(np.ascontiguousarray(values, np.float32))
    return vec3f(values)
