"""A USD stage of ours: units, up, time, safe names, and writing it whole.

Does NOT know meshes, surfels or cameras.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from recon4d.core import InputError
from recon4d.export.axes import y_up_from_world
from recon4d.export.places import staged_file
from recon4d.export.subject import up_direction
from recon4d.scene import Scene

ROOT = "/Scene"
_USUAL_RATE = 24.0
_UPRIGHT = 0.9999
_MIN_VERSION = (0, 26, 3)


@dataclass
class Stage:
    """A stage in memory that is being filled.

    Attributes:
        usd: the `Usd.Stage`.
        times: [T] seconds of the scene that are sampled.
        rate: time codes a second; code 0 is the first moment.
        assets: files that go into a package, by name.
    """

    usd: Any
    times: list[float]
    rate: float
    assets: dict[str, bytes] = field(default_factory=dict)

    @property
    def codes(self) -> list[float]:
        """[T] time codes of the moments."""
        return [round((time - self.times[0]) * self.rate, 9) for time in self.times]

    def sample(self, attribute: Any, values: Sequence[Any]) -> None:
        """Set an attribute's values at all moments; once only where all are the same."""
        track = Track(attribute)
        for code, value in zip(self.codes, values, strict=True):
            track.add(code, value)
        track.close()

    def path(self, name: str, above: str = ROOT) -> str:
        """A free path for a prim of that name, whatever letters it has."""
        from pxr import Tf

        base = Tf.MakeValidIdentifier(name.strip() or "layer")
        path, number = f"{above}/{base}", 2
        while self.usd.GetPrimAtPath(path):
            path, number = f"{above}/{base}_{number}", number + 1
        return path


class Track:
    """An attribute that is sampled over time only from when on it changes."""

    def __init__(self, attribute: Any) -> None:
        self.attribute = attribute
        self.before: tuple[float, Any] | None = None
        self.moves = False

    def add(self, code: float, value: Any) -> None:
        """The value at the next time code."""
        if self.before is not None and (self.moves or value != self.before[1]):
            if not self.moves:
                self.attribute.Set(self.before[1], self.before[0])
                self.moves = True
            self.attribute.Set(value, code)
        self.before = (code, value)

    def close(self) -> None:
        """After the last value: what never changed is set for all times."""
        if self.before is not None and not self.moves:
            self.attribute.Set(self.before[1])


def need_usd() -> None:
    """Make sure that USD is installed.

    Raises:
        InputError: it is not, or too old.
    """
    try:
        from pxr import Usd, UsdVol
    except ImportError:
        got = "it is not installed"
    else:
        if Usd.GetVersion() >= _MIN_VERSION and hasattr(UsdVol, "ParticleField"):
            return
        got = f"version {'.'.join(map(str, Usd.GetVersion()))}"
    raise InputError("usd-core", expected="version 26.3 or later", got=got, fix="pip install 'recon4d[usd]'")


def new_stage(scene: Scene, times: Sequence[float]) -> Stage:
    """An empty stage with the scene's units and the moments to sample."""
    from pxr import Gf, Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    up = up_direction(scene.cameras)
    z_up = bool(up[2] > _UPRIGHT)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z if z_up else UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, scene.metres_per_unit or 1.0)
    root = UsdGeom.Xform.Define(stage, ROOT)
    stage.SetDefaultPrim(root.GetPrim())
    stage.GetRootLayer().documentation = "Exported by recon4d."
    if not z_up:
        w, x, y, z = y_up_from_world(up).tolist()
        root.AddOrientOp().Set(Gf.Quatf(w, Gf.Vec3f(x, y, z)))
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else _USUAL_RATE
    made = Stage(stage, list(times), rate)
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    stage.SetStartTimeCode(made.codes[0])
    stage.SetEndTimeCode(made.codes[-1])
    return made


def write_stage(stage: Stage, path: Path) -> None:
    """Write the stage as .usdc, .usda, or packed with its assets as .usdz; whole or not at all."""
    from pxr import Sdf, UsdUtils

    with staged_file(path) as temporary, tempfile.TemporaryDirectory() as name:
        if path.suffix.lower() != ".usdz":
            stage.usd.GetRootLayer().Export(str(temporary))
            return
        folder = Path(name)
        for asset, content in stage.assets.items():
            (folder / asset).parent.mkdir(parents=True, exist_ok=True)
            (folder / asset).write_bytes(content)
        inner, packed = folder / f"{_stem(path)}.usdc", folder / "packed.usdz"
        stage.usd.GetRootLayer().Export(str(inner))
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(inner)), str(packed)):
            raise RuntimeError(f"USD could not pack {path}")
        temporary.write_bytes(packed.read_bytes())


def _stem(path: Path) -> str:
    from pxr import Tf

    return str(Tf.MakeValidIdentifier(path.stem))


def vec3f(values: Float[np.ndarray, "n 3"]) -> Any:
    """An array of USD's points, vectors or colours."""
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32))
