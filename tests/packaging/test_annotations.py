"""The canary: shape annotations really are enforced while the tests run."""

from __future__ import annotations

import inspect
import sys

import jaxtyping
import pytest
import torch

from recon4d import Camera


def test_a_wrong_shape_raises():
    # Camera.look_at takes eye as Float[Tensor, "3"]; four numbers must be stopped by the annotation itself.
    with pytest.raises(jaxtyping.TypeCheckError, match="eye"):
        Camera.look_at(torch.zeros(4), width=4, height=4, fov_y_degrees=60.0)


def test_the_right_shape_passes():
    camera = Camera.look_at(torch.tensor([0.0, -3.0, 0.0]), width=4, height=4, fov_y_degrees=60.0)
    assert camera.cam_from_world.shape == (4, 4)


def test_every_module_of_the_package_was_loaded_through_the_hook():
    modules = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "recon4d" and (getattr(module, "__file__", None) or "").endswith(".py")
    }
    assert "recon4d.core.camera" in modules
    unchecked = [name for name, module in modules.items() if "jaxtyping" not in type(module.__loader__).__module__]
    assert unchecked == []
    assert not inspect.isbuiltin(Camera.look_at)
