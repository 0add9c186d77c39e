"""Numbers that no file could hold are refused before anything is written, at whichever moment they turn up."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import InputError, Surfels
from recon4d.editors.edited_field import EditedField, Source, Step
from recon4d.export.formats import FORMATS, export_scene
from recon4d.export.request import ExportRequest
from recon4d.field import Field, Refined
from recon4d.scene import Layer, Scene
from tests.export.scenes import TIMES, object_scene


@dataclass(frozen=True, eq=False)
class Spoiled(Step):
    """Puts a value in place of one number, at one moment."""

    name: str
    value: float

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        tensor = getattr(state, self.name)
        rank = {"opacities": 1, "sh": 3}.get(self.name, 2)
        batched = (tensor.expand(len(times), *tensor.shape) if tensor.dim() == rank else tensor).clone()
        batched.flatten(1)[(times - TIMES[3]).abs() < 1e-6, 5] = self.value
        return state.replace(**{self.name: batched})

    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        return self


def _with(field: Field) -> Scene:
    scene = object_scene()
    return dataclasses.replace(scene, layers=[Layer("blob", "object", field)])


def _spoiled(name: str, value: float) -> Scene:
    field = object_scene().layers[0].field
    return _with(EditedField(field.canonical, field.ids, field.warp, None, (Spoiled(name, value),)))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_format_writes_what_an_edit_made_infinite_for_a_moment(name: str, tmp_path: Path) -> None:
    request = ExportRequest(path=tmp_path / f"a{(FORMATS[name].suffixes or ('',))[0]}", faces=300, texture=32)
    with pytest.raises(InputError, match=r"layer 'blob' at .*NaN, infinity.* in centers"):
        export_scene(_spoiled("centers", float("inf")), name, request)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["centers", "rotations_wxyz", "scales", "opacities", "sh"])
@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_every_kind_of_number_is_looked_at(name: str, value: float, tmp_path: Path) -> None:
    scene = _spoiled(name, value)
    with pytest.raises(InputError, match=f"in .*{name}"):
        export_scene(scene, "splat-sequence", ExportRequest(path=tmp_path / "a"))
    # Moments that are not written need not be good.
    export_scene(scene, "splats", ExportRequest(path=tmp_path / "a.ply", at=0.0))


def test_surfels_as_they_are_drawn_count_too(tmp_path: Path) -> None:
    field = object_scene().layers[0].field
    refined = Refined.like(field.canonical)
    refined.scales[7, 1] = float("nan")
    with pytest.raises(InputError, match="in refined scales"):
        export_scene(_with(dataclasses.replace(field, refined=refined)), "glb", ExportRequest(path=tmp_path / "a.glb"))
