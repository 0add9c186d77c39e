"""What must hold on a GPU besides the tests: streams, devices, graphs, both rasterizers, a fit; for `gpu.py`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon4d import InputError
from tests.bench.gpu_cases import Case, Images, apart, differences
from tests.bench.gpu_verdicts import NotRunError, missed_by_fit, missed_by_images, settle

SCENE = (20_000, 333, 217)
SUMMATION = 1e-4
"""Gradients are summed by atomics, in another order each time."""
FLIPPED = 2e-3
"""In so many pixels rounding may flip a decision between `cuda` and `cpu`."""
Pass = tuple[Images, dict[str, Tensor]]
Capture = Callable[[Callable[[], Pass]], tuple[Pass, Callable[[], None]]]
"""Records a pass: from what draws to the arrays that hold its results, and what fills them anew."""


def a_pass(case: Case, module: Any) -> Pass:
    """Forward and backward."""
    images = case.draw_unchecked(module)
    return images, case.backward(images)


def missed_by_repeat(actual: Pass, expected: Pass, name: str) -> list[str]:
    """The same images to the bit, and the same gradients but for the order of sums."""
    missed = [f"{name}: another {n}" for n, image in expected[0].items() if not torch.equal(actual[0][n], image)]
    return missed + [
        f"{name}: {n} apart by {d:.1e}" for n, d in apart(actual[1], expected[1]).items() if not d < SUMMATION
    ]


def agreement() -> dict[str, Any]:
    """`cuda` against `cpu`: images, and gradients relative to their norm."""
    passes = []
    for device in ("cuda", "cpu"):
        case = Case(*SCENE, device)
        images = case.draw(device)
        passes.append((images, case.backward(images)))
    (ours, our_gradients), (theirs, their_gradients) = passes
    found, gradients = differences(ours, theirs), apart(our_gradients, their_gradients)
    missed = [f"gradient of {name} apart by {d:.1e}" for name, d in gradients.items() if not d < 1e-2]
    return settle(missed_by_images(found, "cpu", band=FLIPPED) + missed, {"images": found, "gradients": gradients})


def streams() -> dict[str, Any]:
    """Another stream, whose inputs come late; and another device, where there is one."""
    from recon4d.render import cuda

    case = Case(*SCENE)
    expected = a_pass(case, cuda)
    centers = case.arrays["centers"]
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        late = torch.zeros_like(centers)
        torch.cuda._sleep(200_000_000)  # a tenth of a second: kernels of any other stream would draw the zeros
        case.arrays["centers"] = late.copy_(centers.detach()).requires_grad_()
        actual = a_pass(case, cuda)
    side.synchronize()
    missed = missed_by_repeat(actual, expected, "another stream")
    if torch.cuda.device_count() < 2:
        return settle(missed, {"second_device": "none on this machine"})
    other = a_pass(Case(*SCENE, "cuda:1"), cuda)  # while device 0 is the current one
    moved = tuple({n: t.to("cuda:0") for n, t in part.items()} for part in other)
    missed += missed_by_repeat((moved[0], moved[1]), expected, "another device")
    return settle(missed, {"second_device": torch.cuda.get_device_name(1)})


def graphs() -> dict[str, Any]:
    """A pass recorded once and replayed with other surfels, against the same drawn step by step."""
    from recon4d.render import cuda

    return replayed(Case(*SCENE), cuda, captured)


def captured(draw: Callable[[], Pass]) -> tuple[Pass, Callable[[], None]]:
    """A CUDA graph of a pass."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            draw()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = draw()
    return results, graph.replay


def replayed(case: Case, module: Any, capture: Capture) -> dict[str, Any]:
    """Capture with a fixed capacity, move the surfels, replay, compare; and be told of too little room."""
    centers = case.arrays["centers"].detach()
    start = centers.clone()
    with module.fixed_capacity(200 * len(start)) as room:
        a_pass(case, module)
    room.check()
    needed = int(room.status[0][1])
    with module.fixed_capacity(2 * needed) as capacity:
        results, replay = capture(lambda: a_pass(case, module))
    missed = []
    for shift in (0.05, -0.1):
        centers.copy_(start + shift)
        replay()
        with module.fixed_capacity(2 * needed):
            expected = a_pass(case, module)
        missed += missed_by_repeat(results, expected, f"surfels moved by {shift}")
    capacity.check()
    centers.copy_(start)
    with module.fixed_capacity(needed // 2) as small:
        a_pass(case, module)
    try:
        small.check()
        missed.append("too little room, and nobody said so")
    except InputError:
        pass
    return settle(missed, {"instances": needed})


def gsplat() -> dict[str, Any]:
    """`backend="gsplat"`: what gsplat itself draws, and what ours draws where both mean the same thing."""
    from recon4d.render.gsplat import why_not

    if reason := why_not():
        raise NotRunError(reason)
    case = Case(*SCENE)
    images, ours, direct = case.draw("gsplat"), case.draw("cuda"), case.draw_gsplat()
    gradients = {name: float(g.norm()) for name, g in case.backward(images, intrinsics=False).items()}
    missed = [f"no gradient of {name}" for name, norm in gradients.items() if not 0 < norm < float("inf")]
    for name in ("color", "alpha", "depth"):
        if not torch.allclose(images[name], direct[name], rtol=0, atol=1e-6):
            missed.append(f"another {name} than gsplat called directly")
    found = differences(ours, images)
    return settle(missed + missed_by_images(found, "gsplat"), {"images": found, "gradients": gradients})


def short_fit(
    devices: tuple[str, str] = ("cuda", "cpu"), dataset: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A draft of a small creature on the GPU, and the same on the CPU: PSNR of unseen views in dB, and seconds.

    Args:
        devices: of both.
        dataset, changes: other settings of the data set and of the fit.
    """
    from recon4d.synthetic import SynthesizeConfig, synthesize

    size = {"frames": 40, "val_frames": 1, "test_frames": 8, "width": 128, "height": 128, "detail": 0.5}
    with tempfile.TemporaryDirectory() as folder:
        config = SynthesizeConfig(subject="quadruped", **{**size, **(dataset or {})})
        made = synthesize(config, Path(folder) / "creature").folder
        gpu, cpu = (_fitted(made, device, **changes) for device in devices)
    return settle(missed_by_fit(gpu["psnr"], cpu["psnr"]), {"cuda": gpu, "cpu": cpu})


def _fitted(folder: Path, device: str, **changes: Any) -> dict[str, float]:
    from recon4d.data import read_dataset
    from recon4d.evaluate import evaluate_scene
    from recon4d.train import fit, preset

    dataset = read_dataset(folder)
    began = time.perf_counter()
    fitted = fit(dataset, preset("draft", device=device, **changes))
    seconds = time.perf_counter() - began
    score = evaluate_scene(fitted.scene, dataset, protocol="dnerf").psnr
    assert score is not None
    return {"psnr": score, "seconds": seconds}
