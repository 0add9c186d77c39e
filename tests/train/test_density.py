"""Relocation: ids, budgets, what is dropped and split, and the optimiser's rows."""

from __future__ import annotations

import pytest
import torch

from recon4d.train import FitConfig
from recon4d.train.checkpoint import State
from recon4d.train.density import Density, relocate
from recon4d.train.fit import start, train_step
from recon4d.train.frames import Frames
from recon4d.train.model import PER_SURFEL
from recon4d.train.objective import Objective


@pytest.fixture
def state(frames: Frames, quick: FitConfig) -> State:
    """A few steps in, so that Adam has moments."""
    state = start(frames, quick)
    objective = Objective(quick, state.model.rest, state.model.size)
    for _ in range(3):
        train_step(state, frames, objective, quick)
    return state


def moved(state: State, budget: int = 500, growth: float = 1.2) -> None:
    state.density = relocate(
        state.model,
        state.optimizer,
        state.density,
        budget=budget,
        growth=growth,
        dead_opacity=0.02,
        generator=torch.Generator().manual_seed(0),
    )


def test_ids_stay_with_their_surfels_and_never_come_back(state: State):
    model = state.model
    before = {int(i): model.parameters["sh_base"].detach()[k].clone() for k, i in enumerate(model.ids)}
    with torch.no_grad():
        model.parameters["opacity_logits"][10:40] = -9.0
    dead = set(range(10, 40))
    moved(state)
    after = model.ids.tolist()
    assert len(set(after)) == len(after)
    assert not dead & set(after)
    assert set(after) - set(before) == set(range(300, model.next_id))
    # 270 live on; the 30 that died may come back as others, and a fifth of the living may join.
    assert len(model) == int(270 * 1.2)
    for row, name in enumerate(after):
        if name in before:
            assert torch.equal(model.parameters["sh_base"].detach()[row], before[name])
    moved(state)
    assert model.next_id >= 300 + len(model) - 270


def test_every_row_goes_along(state: State):
    moved(state)
    count = len(state.model)
    assert count > 300
    assert state.model.slots.shape == (count, 4)
    for name in PER_SURFEL:
        assert state.model.parameters[name].shape[0] == count
        assert state.optimizer.tensors()[f"{name}.exp_avg"].shape == state.model.parameters[name].shape
    assert state.density.gradient.shape == state.density.seen.shape == (count,)
    assert float(state.density.gradient.abs().sum()) == 0.0


def test_the_budget_holds(state: State):
    state.density.gradient[:] = 1.0
    moved(state, budget=310, growth=5.0)
    assert len(state.model) == 310


def test_only_what_asks_is_split_and_its_moments_are_forgotten(state: State):
    state.density = Density(torch.zeros(300), torch.ones(300))
    state.density.gradient[[7, 19]] = 1.0
    old = {name: state.model.parameters[name].detach().clone() for name in PER_SURFEL}
    moments = state.optimizer.tensors()["centers.exp_avg"].clone()
    moved(state, growth=1.5)
    new = {name: state.model.parameters[name].detach() for name in PER_SURFEL}
    assert len(state.model) == 302
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
    after = state.optimizer.tensors()["centers.exp_avg"]
    assert float(after[[7, 19, 300, 301]].abs().max()) == 0.0
    others = torch.ones(300, dtype=torch.bool)
    others[[7, 19]] = False
    assert torch.equal(after[:300][others], moments[others])
    untouched = {name: value[:300][others] for name, value in new.items()}
    assert all(torch.equal(untouched[name], old[name][others]) for name in PER_SURFEL)


def test_nothing_alive_is_left_as_it_is(state: State):
    with torch.no_grad():
        state.model.parameters["opacity_logits"][:] = -9.0
    moved(state)
    assert len(state.model) == 300
