"""Relocation: ids, budgets, what is dropped and split, and the optimiser's rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon4d.train import Capture, FitConfig
from recon4d.train.checkpoint import State
from recon4d.train.density import Density, relocate
from recon4d.train.fit import start
from recon4d.train.frames import Frames
from recon4d.train.moving_object import MovingObject
from recon4d.train.objective import Objective
from recon4d.train.part import nearest_surfels
from recon4d.train.step import train_step
from recon4d.train.visibility import contributions


@pytest.fixture
def state(capture: Capture, frames: Frames, quick: FitConfig) -> State:
    """A few steps in, so that Adam has moments."""
    state = start(capture, frames, quick)
    for _ in range(3):
        train_step(state, capture, frames, Objective(quick), quick)
    return state


@pytest.fixture
def part(state: State) -> MovingObject:
    return state.model.objects[0]


def moved(state: State, budget: int = 500, growth: float = 1.2) -> None:
    state.density[0] = relocate(
        state.model.parts[0],
        state.optimizer,
        state.density[0],
        budget=budget,
        growth=growth,
        dead_opacity=0.02,
        generator=torch.Generator().manual_seed(0),
    )


def test_ids_stay_with_their_surfels_and_never_come_back(state: State, part: MovingObject):
    before = {int(i): part.parameters["sh_base"].detach()[k].clone() for k, i in enumerate(part.ids)}
    with torch.no_grad():
        part.parameters["opacity_logits"][10:40] = -9.0
    dead = set(range(10, 40))
    moved(state)
    after = part.ids.tolist()
    assert len(set(after)) == len(after)
    assert not dead & set(after)
    assert set(after) - set(before) == set(range(300, part.next_id))
    # 270 live on; the 30 that died may come back as others, and a fifth of the living may join.
    assert len(part) == int(270 * 1.2)
    for row, name in enumerate(after):
        if name in before:
            assert torch.equal(part.parameters["sh_base"].detach()[row], before[name])
    moved(state)
    assert part.next_id >= 300 + len(part) - 270


def test_every_row_goes_along(state: State, part: MovingObject):
    moved(state)
    count = len(part)
    assert count > 300
    assert part.slots.shape == (count, 4)
    for name in part.row_names:
        assert part.parameters[name].shape[0] == count
        assert state.optimizer.tensors()[f"object.{name}.exp_avg"].shape == part.parameters[name].shape
    assert state.density[0].gradient.shape == state.density[0].seen.shape == (count,)
    assert float(state.density[0].gradient.abs().sum()) == 0.0


def test_neighbours_are_found_again_where_smoothness_counts(capture: Capture, frames: Frames, quick: FitConfig):
    """In the very step that moves surfels; a fit that does not weigh it spends no time on them."""
    for weight in (0.1, 0.0):
        config = replace(
            quick, weights=replace(quick.weights, smoothness=weight), density_every=1, density_from=0.0, iterations=100
        )
        state = start(capture, frames, config)
        part = state.model.objects[0]
        before = part.neighbours
        train_step(state, capture, frames, Objective(config), config)
        assert len(part) > 300
        if weight:
            assert torch.equal(part.neighbours, nearest_surfels(part.parameters["centers"]))
        else:
            assert part.neighbours is before


def test_the_budget_holds(state: State, part: MovingObject):
    state.density[0].gradient[:] = 1.0
    moved(state, budget=310, growth=5.0)
    assert len(part) == 310


def test_only_what_asks_is_split_and_its_moments_are_forgotten(state: State, part: MovingObject):
    state.density[0] = Density(torch.zeros(300), torch.ones(300))
    state.density[0].gradient[[7, 19]] = 1.0
    old = {name: part.parameters[name].detach().clone() for name in part.row_names}
    moments = state.optimizer.tensors()["object.centers.exp_avg"].clone()
    moved(state, growth=1.5)
    new = {name: part.parameters[name].detach() for name in part.row_names}
    assert len(part) == 302
    for parent, child in ((7, 300), (19, 301)):
        # The halves lie on both sides of the middle, along the longer axis, and are shorter there only.
        torch.testing.assert_close((new["centers"][parent] + new["centers"][child]) / 2, old["centers"][parent])
        assert not torch.equal(new["centers"][parent], old["centers"][parent])
        longer = int(old["log_scales"][parent].argmax())
        assert new["log_scales"][child][longer] < old["log_scales"][parent][longer]
        assert new["log_scales"][child][1 - longer] == old["log_scales"][parent][1 - longer]
        # Two on top of each other cover what one did.
        cover = 1 - (1 - new["opacity_logits"][[parent, child]].sigmoid()).prod()
        torch.testing.assert_close(cover, old["opacity_logits"][parent].sigmoid(), atol=1e-6, rtol=0)
        assert torch.equal(new["sh_base"][child], old["sh_base"][parent])
    after = state.optimizer.tensors()["object.centers.exp_avg"]
    assert float(after[[7, 19, 300, 301]].abs().max()) == 0.0
    others = torch.ones(300, dtype=torch.bool)
    others[[7, 19]] = False
    assert torch.equal(after[:300][others], moments[others])
    untouched = {name: value[:300][others] for name, value in new.items()}
    assert all(torch.equal(untouched[name], old[name][others]) for name in part.row_names)


def test_nothing_alive_is_left_as_it_is(state: State, part: MovingObject):
    with torch.no_grad():
        part.parameters["opacity_logits"][:] = -9.0
    moved(state)
    assert len(part) == 300


def test_what_no_image_sees_is_dropped(state: State, capture: Capture, frames: Frames, part: MovingObject):
    """Surfels inside of the subject and behind the cameras give nothing to any image."""
    with torch.no_grad():
        part.parameters["centers"][:5] = torch.tensor([0.0, 0.0, 50.0])
        part.parameters["opacity_logits"][5:] = 3.0
    given = contributions(state.model, frames.levels[2], 24)[0]
    assert given.shape == (300,)
    assert given[:5].tolist() == [0.0] * 5
    assert float((given[5:] > 0.1).float().mean()) > 0.5
    # A whole image's weights are its coverage: no view can give more than that.
    assert float(given.max()) < float((frames.levels[2][0].masks > 0).sum())
    ids = part.ids.tolist()
    state.density[0] = relocate(
        part,
        state.optimizer,
        Density.empty(300),
        budget=500,
        growth=1.2,
        dead_opacity=0.02,
        generator=torch.Generator(),
        unseen=given < 0.1,
    )
    assert part.ids.tolist() == [name for name, seen in zip(ids, (given >= 0.1).tolist(), strict=True) if seen]
