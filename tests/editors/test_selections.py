"""What selections select."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.editors import (
    All,
    AlongSurface,
    Box,
    Brush,
    ByBones,
    ColorFlood,
    FrameMask,
    Grow,
    Ids,
    InLayers,
    Intersect,
    Invert,
    Lasso,
    Part,
    Plane,
    Polygon,
    Ray,
    Rectangle,
    Shrink,
    Sphere,
    Subtract,
    Union,
    ValueRange,
    View,
    resolve,
    to_ranges,
)
from recon4d.editors.state import State
from recon4d.scene import Layer
from tests.editors.scenes import CAMERAS, scene

SCENE = scene(600)
STATE = State.of(SCENE)
VIEW = View.of(CAMERAS[0], 0.5)
HEAD = ByBones("animal", (4, 8, 16))


def counts(selection, state=STATE):
    return {name: int(mask.sum()) for name, mask in resolve(selection, state).items()}


def centers(name, time=None):
    field = SCENE.layer(name).field
    return field.canonical.centers if time is None else field.at(time).centers


def test_names_and_ids():
    assert counts(All()) == {"animal": 600, "ball": 300, "floor": 576}
    assert counts(InLayers(("ball", "floor"))) == {"ball": 300, "floor": 576}
    # The floor's ids are 7, 10, 13, ...
    assert counts(Ids("floor", (7, 13, 19, 20))) == {"floor": 4}
    ids = torch.tensor([5, 3, 4, 9, 2**40])
    assert to_ranges(ids) == (3, 5, 9, 9, 2**40, 2**40)


@pytest.mark.parametrize(
    ("selection", "field", "expected"),
    [
        (InLayers(("bal",)), "select.names", "one of 'animal', 'ball', 'floor'"),
        (Ids("floor", (0, 6)), "select.ranges", "ids of layer 'floor', from 7 to"),
        (Part("ear"), "select.name", "no parts yet"),
        (ByBones("animal", (4, 99)), "select.bones[1]", "0 to 23"),
        (ByBones("ball", (0,)), "select.layer", "a layer with bones"),
        (Sphere((0, 0, 0), 1.0, time=7.0), "select.time", "seconds from 0 to 1"),
        (Union((All(), InLayers(("x",)))), "select.of[1].names", "one of"),
        (Sphere((9, 9, 9), 0.1), "select", "a selection of at least one surfel"),
    ],
)
def test_what_cannot_be_selected_is_refused_by_field(selection, field, expected):
    with pytest.raises(InputError) as error:
        resolve(selection, STATE)
    assert error.value.what == field
    assert error.value.expected.startswith(expected)


def test_locked_and_hidden_layers_are_left_alone():
    state = replace(STATE, locked=frozenset({"ball"}), hidden=frozenset({"floor"}))
    assert counts(All(), state) == {"animal": 600}
    assert counts(Invert(HEAD), state).keys() == {"animal"}
    with pytest.raises(InputError, match="locked and hidden layers"):
        resolve(InLayers(("ball",)), state)


def test_combinations_are_those_of_sets():
    head = resolve(HEAD, STATE)["animal"]
    low = Plane((0, 0, 0.6), (0, 0, -1), layers=("animal",))
    below = resolve(low, STATE)["animal"]
    assert torch.equal(resolve(Union((HEAD, low)), STATE)["animal"], head | below)
    assert torch.equal(resolve(Intersect((low, Invert(HEAD))), STATE)["animal"], below & ~head)
    assert torch.equal(resolve(Subtract(InLayers(("animal",)), (HEAD, low)), STATE)["animal"], ~head & ~below)
    assert counts(Invert(HEAD, layers=("animal",))) == {"animal": int((~head).sum())}


def test_places_in_the_world_and_in_canonical_space():
    there = centers("ball", 1.0).mean(0)
    assert counts(Sphere(tuple(there.tolist()), 0.3, time=1.0, layers=("ball",))) == {"ball": 300}
    with pytest.raises(InputError):
        resolve(Sphere(tuple(there.tolist()), 0.3, time=0.0, layers=("ball",)), STATE)
    # A long box that is turned by a quarter about z reaches along y.
    box = Box((0, 0, 0.4), (3.0, 0.1, 3.0), rotate=(0, 0, 90), layers=("animal",))
    assert torch.equal(resolve(box, STATE)["animal"], centers("animal")[:, 0].abs() <= 0.05)


def test_a_click_hits_what_is_in_front():
    ball = centers("ball", 0.5).mean(0)
    eye = CAMERAS[0].center_in_world
    toward = tuple((ball - eye).tolist())
    (name,) = counts(Ray(tuple(eye.tolist()), toward, 0.5))
    assert name == "ball"
    mask = resolve(Ray(tuple(eye.tolist()), toward, 0.5), STATE)["ball"]
    assert int(mask.sum()) == 1
    # The one that is hit faces the eye.
    hit = centers("ball", 0.5)[mask][0]
    assert float((hit - eye).norm()) < float((ball - eye).norm()) - 0.2
    assert counts(Ray(tuple(eye.tolist()), toward, 0.5, extent="layer")) == {"ball": 300}
    near = resolve(Ray(tuple(eye.tolist()), toward, 0.5, radius=0.1), STATE)["ball"]
    assert torch.equal(near, (centers("ball", 0.5) - hit).norm(dim=-1) <= 0.1)


def test_the_screen_selects_what_is_seen_there():
    # Larger surfels, so that nothing behind shows through.
    thick = SCENE.layer("ball").field
    thick = replace(thick, canonical=thick.canonical.replace(scales=2 * thick.canonical.scales))
    layers = [Layer("ball", "object", thick) if layer.name == "ball" else layer for layer in SCENE.layers]
    state = State.of(replace(SCENE, layers=layers))
    pixels, _ = CAMERAS[0].project(centers("ball", 0.5))
    low, high = pixels.amin(0) - 4, pixels.amax(0) + 4
    corners = (
        tuple(low.tolist()),
        (float(high[0]), float(low[1])),
        tuple(high.tolist()),
        (float(low[0]), float(high[1])),
    )
    rectangle = Rectangle(VIEW, low=corners[0], high=corners[2], layers=("ball",))
    seen = resolve(rectangle, state)["ball"]
    assert 90 < int(seen.sum()) < 220
    # What faces away is hidden by what faces the camera.
    away = centers("ball", 0.5) - centers("ball", 0.5).mean(0)
    facing = (away @ (CAMERAS[0].center_in_world - centers("ball", 0.5).mean(0))) > 0
    assert float((seen == facing).float().mean()) > 0.85
    assert counts(replace(rectangle, through=True), state) == {"ball": 300}
    for drawn in (Polygon, Lasso):
        assert torch.equal(resolve(drawn(VIEW, points=corners, layers=("ball",)), state)["ball"], seen)
    middle = tuple(pixels.mean(0).tolist())
    brushed = resolve(Brush(VIEW, points=(middle,), radius=3.0, layers=("ball",)), state)["ball"]
    assert 0 < int(brushed.sum()) < int(seen.sum())
    assert not bool((brushed & ~seen).any())


def test_a_mask_is_lifted_by_weights_and_its_runs_are_exact():
    generator = np.random.default_rng(0)
    mask = generator.random((72, 96)) < 0.4
    selection = FrameMask.of(mask, VIEW)
    assert np.array_equal(selection.pixels(), mask)
    assert np.array_equal(FrameMask.of(np.ones((72, 96), bool), VIEW).pixels(), np.ones((72, 96), bool))
    everything = resolve(FrameMask.of(np.ones((72, 96), bool), VIEW), STATE)
    wide = resolve(Rectangle(VIEW, low=(-1.0, -1.0), high=(200.0, 200.0)), STATE)
    assert all(torch.equal(everything[name], wide[name]) for name in ("animal", "ball", "floor"))
    with pytest.raises(InputError, match="the pixels of the view"):
        FrameMask(VIEW, runs=(5, 5))


def test_values():
    assert counts(ValueRange("speed", high=1e-4)) == {"floor": 576}
    assert counts(ValueRange("opacity", high=0.92)) == {"ball": 300}
    up = resolve(ValueRange("normal", high=30.0, layers=("ball",)), STATE)["ball"]
    assert torch.equal(up, centers("ball")[:, 2] >= 0.25 * math.cos(math.radians(30.0)))
    assert counts(ValueRange("z", low=-1.0, high=0.0, layers=("floor",))) == {"floor": 576}
    red = resolve(ValueRange("red", low=0.8, layers=("ball",)), STATE)["ball"]
    assert torch.equal(red, centers("ball")[:, 0] >= 0.1875)


def test_growing_and_shrinking():
    head = resolve(HEAD, STATE)["animal"]
    grown = resolve(Grow(HEAD, 0.1), STATE)["animal"]
    points = centers("animal")
    nearest = torch.cdist(points, points[head]).amin(1)
    assert torch.equal(grown, head | (nearest <= 0.1))
    shrunk = resolve(Shrink(HEAD, 0.1), STATE)["animal"]
    assert torch.equal(shrunk, head & (torch.cdist(points, points[~head]).amin(1) > 0.1))


def test_a_part_grows_along_the_surface_and_a_flood_keeps_to_its_colour():
    top = int(centers("ball")[:, 2].argmax())
    seed = Ids("ball", (top, top))
    cap = resolve(AlongSurface(seed, 0.2), STATE)["ball"]
    away = (centers("ball") - centers("ball")[top]).norm(dim=-1)
    assert bool((away[cap] <= 0.2 + 1e-6).all())
    assert bool(cap[away <= 0.12].all())
    flat = resolve(AlongSurface(seed, 2.0, crease=5.0), STATE)["ball"]
    assert int(flat.sum()) < 30
    flood = ColorFlood(seed, 0.25)
    like = resolve(flood, STATE)["ball"]
    colors = 0.5 + 1.6 * centers("ball")
    assert bool(((colors - colors[top]).norm(dim=-1)[like] <= 0.25 + 1e-5).all())
    assert counts(flood).keys() == {"ball"}


def test_runs_of_ids_do_not_ask_for_an_order_of_rows():
    field = SCENE.layer("floor").field
    order = torch.randperm(len(field), generator=torch.Generator().manual_seed(1))
    shuffled = State.of(replace(SCENE, layers=[Layer("floor", "background", field.select(order))]))
    runs = Ids("floor", (0, 60, 100, 100, 700, 5000))
    assert torch.equal(resolve(runs, shuffled)["floor"], resolve(runs, STATE)["floor"][order])
