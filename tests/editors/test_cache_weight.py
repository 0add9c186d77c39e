"""What the cache of states believes that they weigh."""

from __future__ import annotations

import sys

import pytest
import torch

from recon4d.core import Camera
from recon4d.editors import All, EditStack, Recolor, Transform
from recon4d.editors.evaluate import evaluate_state
from recon4d.editors.keys import Span
from recon4d.scene import Layer, Scene
from recon4d.synthetic.creature_field import creature_field

module = sys.modules["recon4d.editors.evaluate"]  # the package's function of that name hides it
weigh = module._memory


def small_scene() -> Scene:
    """A quadruped."""
    camera = Camera.look_at([3.0, 0.0, 0.0], width=32, height=32)
    times = torch.linspace(0, 1, 5, dtype=torch.float64)
    return Scene(times, [camera] * 5, [Layer("fox", "object", creature_field("quadruped", 500))])


def test_what_steps_hold_is_counted():
    scene = small_scene()
    field = scene.layers[0].field
    plain = evaluate_state(scene, EditStack())
    edited = evaluate_state(scene, EditStack().add(Recolor(select=All(), color=(1.0, 0.0, 0.0), during=Span(0.1, 0.3))))
    base, more = weigh(plain), weigh(edited)
    own = sum(size for place, size in more.items() if place not in base)
    assert sum(base.values()) >= sum(tensor.nbytes for tensor in field.canonical.tensors().values())
    # One number a surfel at the least: how much of the new colour it takes.
    assert own >= 500
    # What both share is counted once where both are held.
    assert sum((base | more).values()) == sum(base.values()) + own


def test_the_states_of_a_small_scene_stay_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_LEAST_CACHED_BYTES", 1)
    monkeypatch.setattr(module, "_TIMES_BASE", 3)
    scene = small_scene()
    base = sum(weigh(evaluate_state(scene, EditStack())).values())
    for i in range(40):
        evaluate_state(scene, EditStack().add(Transform(select=All(), translate=(0.01 * (i + 1), 0.0, 0.0))))
    cache = module._cache_of(scene)
    assert 1 < len(cache._states) < 40
    assert cache._bytes() <= 3 * base
