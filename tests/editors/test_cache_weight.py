"""What the cache of states believes that they weigh."""

from __future__ import annotations

import sys

import torch

from recon4d.core import Camera
from recon4d.editors import All, EditStack, Recolor
from recon4d.editors.evaluate import evaluate_state
from recon4d.editors.keys import Span
from recon4d.scene import Layer, Scene
from recon4d.synthetic.creature_field import creature_field

weigh = sys.modules["recon4d.editors.evaluate"]._memory  # the package's function of that name hides the module


def test_what_steps_hold_is_counted():
    field = creature_field("quadruped", 500)
    camera = Camera.look_at([3.0, 0.0, 0.0], width=32, height=32)
    times = torch.linspace(0, 1, 5, dtype=torch.float64)
    scene = Scene(times, [camera] * 5, [Layer("fox", "object", field)])
    plain = evaluate_state(scene, EditStack())
    edited = evaluate_state(scene, EditStack().add(Recolor(select=All(), color=(1.0, 0.0, 0.0), during=Span(0.1, 0.3))))
    base, more = weigh(plain), weigh(edited)
    own = sum(size for place, size in more.items() if place not in base)
    assert sum(base.values()) >= sum(tensor.nbytes for tensor in field.canonical.tensors().values())
    # One number a surfel at the least: how much of the new colour it takes.
    assert own >= 500
    # What both share is counted once where both are held.
    assert sum((base | more).values()) == sum(base.values()) + own
