"""Pictures of layers whose edits depend on time: every array may be batched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from recon4d.editors import EditedField
from recon4d.editors.edited_field import Step, stepped
from recon4d.export import camera_paths, draw, prepare
from recon4d.scene import Layer
from tests.export.scenes import TIMES, layered_scene


@dataclass(frozen=True, eq=False)
class _Batched(Step):
    """Changes nothing at 0 s and makes everything bright, small and faint later; all arrays come out batched."""

    def apply(self, state, times, source):
        factor = 1 - 0.5 * times.to(state.centers)
        return state.replace(
            scales=state.scales * factor[:, None, None],
            opacities=state.opacities * factor[:, None],
            sh=state.sh + times.to(state.centers)[:, None, None, None],
        )

    def select(self, rows):
        return self


@pytest.mark.parametrize("what", ["color", "depth", "normal", "alpha"])
def test_a_layer_with_batched_arrays_goes_together_with_plain_ones(what):
    scene = layered_scene()
    blob, *others = scene.layers
    field = stepped(blob.field, _Batched())
    assert isinstance(field, EditedField)
    edited = replace(scene, layers=[Layer("blob", "object", field), *others])
    times = TIMES[::4].tolist()

    def pictures(shown, moments):
        cameras = camera_paths.input_path(scene, moments)
        return np.stack(
            list(draw(prepare(shown, cameras, moments, what=what, depth_range=(1.0, 9.0) if what == "depth" else None)))
        )

    shown = pictures(edited, times)
    np.testing.assert_array_equal(shown[0], pictures(scene, times)[0])
    assert np.abs(shown[2].astype(int) - pictures(scene, times)[2]).max() > 15
    # Several moments at once are the moments one by one.
    for picture, time in zip(shown, times, strict=True):
        np.testing.assert_array_equal(picture, pictures(edited, [time])[0])


def test_one_moment_of_batched_arrays_has_no_batch():
    field = stepped(layered_scene().layers[0].field, _Batched())
    for state in (field.at(1.0), field.appearance_at(1.0)):
        assert {name: tensor.dim() for name, tensor in state.tensors().items()} == {
            "centers": 2,
            "rotations_wxyz": 2,
            "scales": 2,
            "opacities": 1,
            "sh": 3,
            "world_from_canonical_wxyz": 2,
        }
    torch.testing.assert_close(field.at(1.0).opacities, 0.5 * field.canonical.opacities)
