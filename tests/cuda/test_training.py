"""A fit takes CUDA's fused steps: the CPU's tensors are taken for CUDA's, and the kernels run on the block emulator."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch

from recon4d.render import rasterize
from recon4d.render.fused import native as fused_native
from recon4d.train import Capture, FitConfig, fit
from recon4d.train.checkpoint import State
from recon4d.train.density import relocate
from recon4d.train.fit import start
from recon4d.train.frames import load_frames
from recon4d.train.objective import Objective
from recon4d.train.part import SURFEL_NAMES
from recon4d.train.step import train_step
from tests.cuda.emulated import Emulated
from tests.train import room
from tests.train.scenes import StopError, assert_equal, stop_at

CONFIG = FitConfig(
    iterations=12,
    surfels=250,
    initial_surfels=200,
    background_surfels=250,
    bones=4,
    bones_at_first=4,
    levels=((0.0, 2),),
    hull_voxels=24,
    density_every=4,
    surface_from=0.4,
    density_until=0.7,
    refine_from=0.8,
    snapshot_every=5,
    checkpoint_seconds=0.0,
    only_drawn=True,
)


class Counted:
    """A native module that counts what is asked of it."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.module, name)


@pytest.fixture
def on_cuda(native: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Tensors are taken for CUDA's, whose kernels run on the emulator; there are none for a CPU."""
    native.set_schedule(0)
    native.skip_barrier("")
    counted = Counted(native)
    monkeypatch.setattr(fused_native, "kind", lambda device: "cuda")
    monkeypatch.setattr(fused_native, "_ext", None)
    monkeypatch.setattr(fused_native, "_ext_cuda", counted)
    return counted


@pytest.fixture(scope="module")
def capture() -> Capture:
    """Two objects in a room, of which each camera sees a part."""
    return room.capture()


def a_step(capture: Capture) -> tuple[State, torch.Tensor]:
    """The state after the first step, and the radii that the optimizer was given."""
    frames = load_frames(capture, [2])
    state = start(capture, frames, CONFIG)
    with mock.patch.object(state.optimizer, "step", wraps=state.optimizer.step) as step:
        train_step(state, capture, frames, Objective(CONFIG), CONFIG)
    step.assert_called_once()
    return state, step.call_args.args[1]


def test_a_step_on_cuda_is_one_on_the_cpu(capture: Capture, native: ModuleType, request: pytest.FixtureRequest):
    expected, _ = a_step(capture)
    assert not [key for key in expected.optimizer.tensors() if key.endswith("row_steps")]
    counted = request.getfixturevalue("on_cuda")
    with mock.patch("recon4d.render.api.load_backend", return_value=Emulated.of(native).module):
        actual, radii = a_step(capture)
    assert counted.calls == {"ssim_forward32": 1, "ssim_backward32": 1, "adam_step32": 3 * len(SURFEL_NAMES)}
    assert actual.mean_loss == pytest.approx(expected.mean_loss, rel=1e-4)
    assert actual.mean_squared_error == pytest.approx(expected.mean_squared_error, rel=1e-4)
    assert len(radii) == len(actual.model)
    assert 0 < int((radii == 0).sum()) < len(radii)
    drawn = dict(
        zip([p.name for p in actual.model.parts], radii.split([len(p) for p in actual.model.parts]), strict=True)
    )
    moments, wanted = actual.optimizer.tensors(), expected.optimizer.tensors()
    for name in expected.model.parameters():
        owner, short = name.split(".")
        rows = drawn[owner] > 0 if short in SURFEL_NAMES else slice(None)
        gradient = wanted[f"{name}.exp_avg"]
        bound = 2e-3 * float(gradient.abs().max()) + 1e-9
        torch.testing.assert_close(moments[f"{name}.exp_avg"][rows], gradient[rows], rtol=2e-3, atol=bound, msg=name)


def stepped(state: State, radii: torch.Tensor, steps: int) -> list[dict[str, torch.Tensor]]:
    """Take some steps with random gradients, which are returned."""
    generator = torch.Generator().manual_seed(5)
    gradients = []
    for _ in range(steps):
        parameters = state.model.parameters()
        gradients.append({n: torch.randn(p.shape, generator=generator) for n, p in parameters.items()})
        for name, parameter in parameters.items():
            parameter.grad = gradients[-1][name].clone()
        state.optimizer.step(0.9, radii)
    return gradients


def test_rows_that_were_drawn_move_as_torch_moves_them_and_others_stay(capture: Capture, on_cuda: Counted):
    state = start(capture, load_frames(capture, [2]), CONFIG)
    sizes = [len(part) for part in state.model.parts]
    radii = (torch.rand(sum(sizes), generator=torch.Generator().manual_seed(1)) - 0.4).clamp_min(0)
    drawn = {part.name: r > 0 for part, r in zip(state.model.parts, radii.split(sizes), strict=True)}
    before = {name: parameter.detach().clone() for name, parameter in state.model.parameters().items()}
    gradients = stepped(state, radii, 3)
    assert on_cuda.calls == {"adam_step32": 3 * 3 * len(SURFEL_NAMES)}
    rates = {group["path"]: group["lr"] for group in state.optimizer.adam.param_groups}
    for name, parameter in state.model.parameters().items():
        owner, short = name.split(".")
        rows = drawn[owner] if short in SURFEL_NAMES else torch.ones(len(parameter), dtype=torch.bool)
        expected = before[name][rows].requires_grad_()
        adam = torch.optim.Adam([expected], lr=rates[name], eps=1e-15)
        for gradient in gradients:
            expected.grad = gradient[name][rows]
            adam.step()
        torch.testing.assert_close(parameter.detach()[rows], expected.detach(), rtol=1e-5, atol=1e-6, msg=name)
        assert torch.equal(parameter.detach()[~rows], before[name][~rows]), name
        assert not torch.equal(parameter.detach(), before[name]) or rates[name] == 0 or not parameter.numel(), name
        assert parameter.grad is None


def moved(state: State) -> None:
    """Drop a surfel of the first object and split two."""
    part, density = state.model.parts[0], state.density[0]
    density.gradient[[20, 30]] = 1.0
    density.seen[:] = 1.0
    with torch.no_grad():
        part.parameters["opacity_logits"].fill_(1.0)
        part.parameters["opacity_logits"][5] = -9.0
    options: dict[str, Any] = {"budget": len(part) + 1, "growth": 2.0, "dead_opacity": 0.02}
    chance = torch.Generator().manual_seed(0)
    state.density[0] = relocate(part, state.optimizer, density, generator=chance, **options)


def test_rows_count_their_own_steps_through_a_relocation(capture: Capture, on_cuda: Counted):
    state = start(capture, load_frames(capture, [2]), CONFIG)
    part = state.model.parts[0]
    count = len(part)
    radii = torch.ones(len(state.model))
    radii[:10] = 0
    stepped(state, radii, 2)
    key = f"{part.name}.centers.row_steps"
    assert state.optimizer.tensors()[key].tolist() == [0] * 10 + [2] * (count - 10)
    moved(state)
    assert state.optimizer.tensors()[key].tolist() == [0] * 9 + [2] * (count - 8)
    stepped(state, torch.ones(len(state.model)), 1)
    assert state.optimizer.tensors()[key].tolist() == [1] * 9 + [3] * (count - 8)


def test_what_is_always_drawn_moves_as_torch_moves_it_through_a_relocation(capture: Capture, on_cuda: Counted):
    states = []
    for only_drawn in (True, False):
        on_cuda.calls.clear()
        state = start(capture, load_frames(capture, [2]), replace(CONFIG, only_drawn=only_drawn))
        for _ in range(2):
            stepped(state, torch.ones(len(state.model)), 3)
            moved(state)
        assert ("adam_step32" in on_cuda.calls) == only_drawn
        states.append(state.model.parameters())
    for name, parameter in states[0].items():
        torch.testing.assert_close(parameter.detach(), states[1][name].detach(), rtol=1e-5, atol=1e-5, msg=name)


def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not(
    capture: Capture, on_cuda: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    whole = fit(capture, CONFIG)
    assert on_cuda.calls["adam_step32"] > 12 * 3 * len(SURFEL_NAMES) / 2
    with pytest.raises(StopError):
        fit(capture, CONFIG, checkpoint=tmp_path / "state", callback=stop_at(5))
    assert_equal(whole.scene, fit(capture, CONFIG, checkpoint=tmp_path / "state", resume=True).scene)


def test_rows_count_as_drawn_by_either_pass(capture: Capture, on_cuda: Counted):
    """Where colours have a branch of their own a view is drawn twice, with surfels of other sizes."""
    frames = load_frames(capture, [2])
    config = replace(CONFIG, weights=replace(CONFIG.weights, tracks=0.0, alone=0.0))
    state = start(capture, frames, config)
    state.step = 12
    for part in state.model.parts:
        state.optimizer.append_parameters(part, part.refine())
        part.parameters["log_scales"].data[::2] = -12.0
        part.parameters["refined_log_scales"].data[1::2] = -12.0
    drawn: list[torch.Tensor] = []

    def draw(*arguments: Any, **options: Any) -> Any:
        output = rasterize(*arguments, **options)
        drawn.append(output.radii)
        return output

    with (
        mock.patch.object(state.optimizer, "step", wraps=state.optimizer.step) as step,
        mock.patch("recon4d.train.step.rasterize", draw),
    ):
        train_step(state, capture, frames, Objective(config), config)
    colored, plain = drawn
    assert torch.equal(step.call_args.args[1], torch.maximum(colored, plain))
    assert bool((colored > plain).any())
    assert bool((plain > colored).any())
