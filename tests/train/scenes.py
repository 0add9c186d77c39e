"""Comparing fitted scenes bit for bit, and stopping fits."""

from __future__ import annotations

from collections.abc import Callable

import torch

from recon4d.scene import Scene
from recon4d.train import Snapshot


def bits(scene: Scene) -> dict[str, torch.Tensor]:
    """Every number of a scene by name."""
    found = {"frame_times": scene.frame_times}
    for index, camera in enumerate(scene.cameras):
        found |= {f"cameras.{index}.K": camera.K, f"cameras.{index}.pose": camera.cam_from_world}
    for layer in scene.layers:
        tensors = {"ids": layer.field.ids, **layer.field.canonical.tensors()}
        tensors |= {f"warp.{name}": value for name, value in layer.field.warp.tensors().items()}
        refined = layer.field.refined
        tensors |= {} if refined is None else {f"refined.{name}": value for name, value in refined.tensors().items()}
        found |= {f"{layer.name}.{name}": value for name, value in tensors.items()}
    return found


def assert_equal(first: Scene, second: Scene, *, cameras: bool = True) -> None:
    """Bit for bit; files keep cameras as text, which is left out where asked."""
    one, two = (
        {name: tensor for name, tensor in bits(scene).items() if cameras or not name.startswith("cameras.")}
        for scene in (first, second)
    )
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


class StopError(Exception):
    """What a test stops a fit with."""


def stop_at(step: int) -> Callable[[Snapshot], None]:
    """A callback that ends the fit at a step."""

    def callback(snapshot: Snapshot) -> None:
        if snapshot.step >= step:
            raise StopError

    return callback
