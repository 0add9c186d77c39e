"""Scenes with wrong values are refused before anything is written."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from recon4d.core import Camera, InputError
from recon4d.core.spline import SE3Spline
from recon4d.field import IdentityWarp, Refined
from recon4d.scene import Layer, save
from tests.scene.scenes import make_field, make_scene


def changed(tensor, value, *index):
    copy = tensor.clone()
    copy[index] = value
    return copy


def with_field(scene, **changes):
    field = dataclasses.replace(scene.layers[0].field, **changes)
    return dataclasses.replace(scene, layers=[dataclasses.replace(scene.layers[0], field=field), scene.layers[1]])


def with_surfels(scene, **changes):
    return with_field(scene, canonical=scene.layers[0].field.canonical.replace(**changes))


def with_warp(scene, **changes):
    return with_field(scene, warp=dataclasses.replace(scene.layers[0].field.warp, **changes))


def with_path(scene, **changes):
    return with_warp(scene, path=dataclasses.replace(scene.layers[0].field.warp.path, **changes))


SCENE = make_scene()
SURFELS = SCENE.layers[0].field.canonical
WARP = SCENE.layers[0].field.warp
RICH = make_scene("residual linear", refined=True)
REFINED = RICH.layers[0].field.refined
RESIDUAL = RICH.layers[0].field.warp
NAN = float("nan")


class OwnWarp(IdentityWarp):
    """A warp that the format does not know."""


WRONG = {
    "NaN in centers": (
        lambda: with_surfels(SCENE, centers=changed(SURFELS.centers, NAN, 2, 1)),
        r"layers\[0\].centers: expected finite numbers, got 1 NaN or infinite, the first at \[2, 1\]",
    ),
    "infinite sh": (
        lambda: with_surfels(SCENE, sh=changed(SURFELS.sh, -torch.inf, 0)),
        r"layers\[0\].sh: expected fin",
    ),
    "zero quaternion": (
        lambda: with_surfels(SCENE, rotations_wxyz=changed(SURFELS.rotations_wxyz, 0, 3)),
        r"layers\[0\].rotations_wxyz: expected quaternions that are not zero",
    ),
    "negative scale": (lambda: with_surfels(SCENE, scales=changed(SURFELS.scales, -1e-9, 0)), "scales: expected numb"),
    "opacity": (lambda: with_surfels(SCENE, opacities=changed(SURFELS.opacities, 1.001, 0)), "opacities: expected num"),
    "sh degree": (lambda: with_surfels(SCENE, sh=SURFELS.sh[:, :3]), r"sh: expected \[6, 1 \| 4 \| 9 \| 16, 3\]"),
    "no color": (lambda: with_surfels(SCENE, sh=None), "sh: expected either sh or features, got both or neither"),
    "two colors": (lambda: with_surfels(SCENE, features=SURFELS.centers), "sh: expected either sh or features"),
    "half precision": (
        lambda: with_surfels(SCENE, scales=SURFELS.scales.half()),
        "scales: expected float32 or float64 as the centers, got torch.float16",
    ),
    "ids twice": (lambda: with_field(SCENE, ids=torch.zeros(6, dtype=torch.int64)), r"layers\[0\].ids: .* differ"),
    "bone past the last": (
        lambda: with_warp(SCENE, weight_indices=changed(WARP.weight_indices, 3, 0, 0)),
        r"warp.weight_indices: expected bones from 0 to 2",
    ),
    "bone -1": (
        lambda: with_warp(SCENE, weight_indices=changed(WARP.weight_indices, -1, 0, 0)),
        r"warp.weight_indices: expected bones from 0 to 2",
    ),
    "weights": (lambda: with_warp(SCENE, weights=WARP.weights * 1.01), "warp.weights: expected weights >= 0 that sum"),
    "negative weight": (
        lambda: with_warp(SCENE, weights=torch.tensor([[1.5, -0.5, 0, 0]] * 6)),
        "warp.weights: expected weights >= 0",
    ),
    "NaN weight": (lambda: with_warp(SCENE, weights=changed(WARP.weights, NAN, 0, 0)), "warp.weights: expected finite"),
    "rest": (
        lambda: with_warp(SCENE, rest_rotations_wxyz=WARP.rest_rotations_wxyz * 0),
        "warp.rest_rotations_wxyz: expected quaternions",
    ),
    "path": (
        lambda: with_path(SCENE, translations=changed(WARP.path.translations, NAN, 0, 0)),
        "warp.path.translations: expected finite",
    ),
    "batched root": (lambda: with_warp(SCENE, root=WARP.path), r"warp.root.rotations_wxyz: expected shape \[5, 4\]"),
    "zero refined quaternion": (
        lambda: with_field(RICH, refined=Refined(changed(REFINED.rotations_wxyz, 0, 3), REFINED.scales)),
        r"layers\[0\].refined_rotations_wxyz: expected quaternions that are not zero",
    ),
    "negative refined scale": (
        lambda: with_field(RICH, refined=Refined(REFINED.rotations_wxyz, changed(REFINED.scales, -1e-9, 0))),
        r"layers\[0\].refined_scales: expected numbers >= 0",
    ),
    "NaN in the residual": (
        lambda: with_warp(RICH, grid=changed(RESIDUAL.grid, NAN, 0, 1, 2, 3, 1)),
        r"warp.grid: expected finite numbers, got 1 NaN or infinite, the first at \[0, 1, 2, 3, 1\]",
    ),
    "flat box": (lambda: with_warp(RICH, high=changed(RESIDUAL.high, -9.0, 2)), "warp.high: expected more than `low`"),
    "base of a residual": (
        lambda: with_warp(RICH, base=dataclasses.replace(RESIDUAL.base, weights=RESIDUAL.base.weights * 1.01)),
        "warp.base.weights: expected weights >= 0 that sum",
    ),
    "unknown base": (lambda: with_warp(RICH, base=OwnWarp()), "warp: expected an IdentityWarp, .* got OwnWarp"),
    "unknown warp": (lambda: with_field(SCENE, warp=OwnWarp()), "warp: expected an IdentityWarp, .* got OwnWarp"),
    "times": (
        lambda: dataclasses.replace(SCENE, frame_times=SCENE.frame_times.flip(0)),
        "times: expected strictly increasing seconds",
    ),
    "cameras": (lambda: dataclasses.replace(SCENE, cameras=SCENE.cameras[:1]), "cameras: expected 3, .* got 1"),
    "skew": (
        lambda: dataclasses.replace(
            SCENE, cameras=[Camera(changed(c.K, 1.0, 0, 1), c.cam_from_world, 8, 8) for c in SCENE.cameras]
        ),
        r"cameras\[0\].K: expected .* Fix: remove the skew",
    ),
    "mirrored camera": (
        lambda: dataclasses.replace(
            SCENE,
            cameras=[
                Camera(c.K, -torch.eye(4) + 2 * torch.diag(torch.tensor([0.0, 0, 0, 1])), 8, 8) for c in SCENE.cameras
            ],
        ),
        r"cameras\[0\].cam_from_world: expected a rigid transform",
    ),
    "units": (lambda: dataclasses.replace(SCENE, metres_per_unit=-1.0), "units.metres_per_unit: expected a number > 0"),
    "name": (lambda: dataclasses.replace(SCENE, layers=[dataclasses.replace(SCENE.layers[0], name=" ")]), "name: expe"),
    "names": (
        lambda: dataclasses.replace(SCENE, layers=[Layer("a", "object", make_field())] * 2),
        r"layers\[1\].name: expected names that differ, got 'a' twice",
    ),
    "provenance": (
        lambda: dataclasses.replace(SCENE, provenance={"psnr": {"mean": NAN}}),
        "provenance.psnr.mean: expected a finite number, got nan",
    ),
    "provenance type": (
        lambda: dataclasses.replace(SCENE, provenance={"mean": [torch.tensor(1.0)]}),
        r"provenance.mean\[0\]: expected a JSON value, got Tensor",
    ),
    "provenance key": (
        lambda: dataclasses.replace(SCENE, provenance={"a": {1: 2}}),
        "provenance.a: expected texts as keys, got 1",
    ),
    "provenance size": (
        lambda: dataclasses.replace(SCENE, provenance={"log": "x" * 2**24}),
        "scene.json: expected at most 16777216 bytes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused_before_writing(tmp_path, case):
    make, pattern = WRONG[case]
    with pytest.raises(InputError, match=pattern):
        save(make(), tmp_path / "a.r4d")
    assert os.listdir(tmp_path) == []


def test_provenance_that_holds_itself(tmp_path):
    loop = {}
    loop["again"] = loop
    with pytest.raises(InputError, match="expected at most 64 levels"):
        save(dataclasses.replace(SCENE, provenance=loop), tmp_path / "a.r4d")


def test_a_spline_of_one_pose_is_refused_by_itself():
    with pytest.raises(InputError, match="K >= 4"):
        SE3Spline(torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 3), 0.0, 1.0)
