"""`recon4d/render/cuda.py` on the block emulator, as a backend like any other of the render tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch

import recon4d._native
from recon4d import Camera, RasterOutput, Surfels, rasterize
from tests.render.helpers import Backend

RENDER = Path(recon4d.__file__).resolve().parent / "render"


def with_native(name: str, native: ModuleType) -> ModuleType:
    """A private copy of the module `recon4d/render/NAME.py` that calls the emulated native module."""
    spec = importlib.util.spec_from_file_location(f"emulated_{name}", RENDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with (
        mock.patch.object(recon4d._native, "_ext_cuda", native, create=True),
        mock.patch.dict("sys.modules", {spec.name: module}),
    ):
        spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Emulated(Backend):
    """Draws on the emulator."""

    module: ModuleType
    native: ModuleType

    @staticmethod
    def of(native: ModuleType) -> Emulated:
        """Over a native module that was built for the emulator."""
        return Emulated("emulated cuda", with_native("cuda", native), native)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def __call__(self, surfels: Surfels, cameras: Camera | Sequence[Camera], **options: object) -> RasterOutput:
        with mock.patch("recon4d.render.api.load_backend", return_value=self.module):
            return rasterize(surfels, cameras, **options)  # type: ignore[arg-type]
