"""The CUDA kernels on the block emulator against the `cpu` backend: the logic of the very source that nvcc compiles.

Says nothing about speed, the memory model of a real GPU, or CUB's sort, which the emulator replaces.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch

from recon4d import InputError, RasterOutput, Surfels
from recon4d.render import Limits, fused
from recon4d.render.fused import native as fused_native
from tests.cuda.emulated import Emulated
from tests.cuda.emulator import build
from tests.render.helpers import (
    IMAGES,
    Inputs,
    assert_gradients_agree,
    assert_images_close,
    assert_same_sparsity,
    backend_or_skip,
    camera,
    random_surfels,
    run,
)

SCHEDULES = {"in order": 0, "in reverse": 1, "at random": 2}

SCENES = {
    # More surfels in a tile than are staged at a time; sizes that no tile, subtile or warp divides.
    "crowded": (random_surfels(420, size=(0.2, 0.5), opacity=(0.02, 0.2)), camera(21, 13)),
    "many tiles": (random_surfels(150, sh_degree=3, warped=True), camera(53, 35)),
    "sh and features": (random_surfels(60, sh_degree=1, warped=True, channels=2, both=True), camera(19, 11)),
    "one column": (random_surfels(60, channels=5), camera(1, 23)),
    "one pixel": (random_surfels(140, channels=1, opacity=(0.01, 0.1)), camera(1, 1)),
    "opaque": (random_surfels(300, opacity=(0.9, 1.0)), camera(18, 17)),
    "edge of everything": (
        random_surfels(60, size=(1e-4, 4.0), reach=4.0, sh_degree=1),
        camera(33, 9, shift=(40.0, -3.0)),
    ),
}


@pytest.fixture(params=SCHEDULES)
def scheduled(emulated: Emulated, request: pytest.FixtureRequest) -> Iterator[Emulated]:
    """The emulator with each order of threads and blocks."""
    emulated.native.set_schedule(SCHEDULES[request.param])
    yield emulated
    emulated.native.set_schedule(0)


def check(backend: Emulated, surfels: Surfels, view: object, dtype: torch.dtype, **options: object) -> None:
    """Images, radii and all gradients are those of `cpu`."""
    inputs = Inputs.of(surfels, view)  # type: ignore[arg-type]
    actual = run(backend, inputs, dtype, **options)
    expected = run(backend_or_skip("cpu"), inputs, dtype, **options)
    exact = dtype == torch.float64
    # Observed in float64: images and radii to the bit, gradients 2e-15.
    # In float32, where `cpu` approximates: images 5e-5 (depths of faint pixels), gradients 3e-5.
    for name in IMAGES:
        assert_images_close(actual.images[name], expected.images[name], atol=1e-13 if exact else 2e-4)
    torch.testing.assert_close(actual.radii, expected.radii, rtol=1e-12 if exact else 1e-4, atol=0)
    bound = 1e-12 if exact else 2e-4
    for name, gradient in expected.gradients.items():
        assert_gradients_agree(actual.gradients[name], gradient, angle=bound, l1=bound, l2=bound, bias=bound)
        if name in surfels.tensors():
            assert_same_sparsity(actual.gradients[name], gradient)


@pytest.mark.parametrize("name", SCENES)
def test_same_as_cpu_in_float64(scheduled: Emulated, name: str):
    check(scheduled, *SCENES[name], torch.float64)


@pytest.mark.parametrize("name", SCENES)
def test_same_as_cpu_in_float32(emulated: Emulated, name: str):
    check(emulated, *SCENES[name], torch.float32)


def test_a_batch_shares_and_splits_arrays(scheduled: Emulated):
    shared = random_surfels(80, sh_degree=2, warped=True, dtype=torch.float64)
    moved = torch.stack([shared.centers, shared.centers + 0.1, shared.centers - 0.2])
    surfels = shared.replace(centers=moved)
    views = [camera(19, 11, eye=(0.1 * i, -3.0, 1.0), dtype=torch.float64) for i in range(3)]
    results = []
    for backend in (scheduled, backend_or_skip("cpu")):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in surfels.tensors().items()}
        output = backend(Surfels(**leaves), views)
        sum(getattr(output, name).square().sum() for name in IMAGES).backward()  # type: ignore[union-attr]
        results.append({**output.tensors(), **{f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}})
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-10, atol=1e-12, msg=name)


def test_no_surfels_at_all(emulated: Emulated):
    background = torch.tensor([0.2, 0.4, 0.6])
    output = emulated(random_surfels(0), camera(9, 7), background=background)
    assert torch.equal(output.color, background.expand(7, 9, 3))
    assert all(getattr(output, name).count_nonzero() == 0 for name in IMAGES[1:])


def test_surfels_that_nobody_sees(emulated: Emulated):
    behind = random_surfels(10)
    check(
        emulated, behind.replace(centers=behind.centers + torch.tensor([0.0, -50.0, 0.0])), camera(9, 7), torch.float64
    )


def test_bad_values_are_refused(emulated: Emulated):
    surfels = random_surfels(5)
    surfels.scales[3, 1] = float("nan")
    with pytest.raises(InputError, match=r"surfels.scales: .* 1 bad of 10, the first at index \[3, 1\]"):
        emulated(surfels, camera())


def test_a_fixed_capacity_reads_nothing_back(emulated: Emulated, monkeypatch: pytest.MonkeyPatch):
    surfels, view = random_surfels(120), camera(30, 20)
    expected = emulated(surfels, view)

    def draw() -> RasterOutput:
        # Past the checks of `rasterize`, which read the cameras: as a CUDA graph would record it.
        cameras = (view.K[None], view.cam_from_world[None], view.width, view.height)
        return emulated.module.rasterize_batch(
            surfels, *cameras, background=None, limits=Limits(), screen_offsets=None
        ).squeezed()

    with emulated.module.fixed_capacity(4000) as capacity, monkeypatch.context() as patch:
        for name in ("tolist", "item", "__bool__", "__int__", "cpu"):
            patch.setattr(torch.Tensor, name, lambda self, name=name: pytest.fail(f"read a tensor back with {name}"))
        actual = draw()
    capacity.check()
    needed = int(capacity.status[0][1])
    assert 120 < needed < 4000
    for name in IMAGES:
        assert torch.equal(getattr(actual, name), getattr(expected, name)), name
    with emulated.module.fixed_capacity(needed - 1) as capacity:
        draw()
    with pytest.raises(InputError, match=f"expected at least {needed}, got {needed - 1}"):
        capacity.check()


# ----------------------------------------------------------------------------------------------------- planted mistakes


def agrees(backend: Emulated) -> bool:
    """Whether a pass over every kind of kernel agrees with `cpu` in every order of threads."""
    for schedule in SCHEDULES.values():
        backend.native.set_schedule(schedule)
        try:
            check(backend, *SCENES["crowded"], torch.float64)
            check_similarity(backend.native)
        except (AssertionError, RuntimeError):
            return False
        finally:
            backend.native.set_schedule(0)
    return True


def test_every_barrier_is_needed_and_missed(emulated: Emulated):
    assert agrees(emulated)
    sites = emulated.native.barriers()
    sources = "".join(path.read_text() for path in (build.CUDA / "gpu").glob("*.cu*"))
    assert len(sites) == len(re.findall(r"__syncthreads\w*\(", sources))  # all of them ran
    for site in sites:
        emulated.native.skip_barrier(site)
        assert not agrees(emulated), f"nobody noticed that the barrier at {site} was left out"
    emulated.native.skip_barrier("")
    assert agrees(emulated)


OFF_BY_ONE = (
    ("tile.cuh", "if (thread < count) {", "if (thread + 1 < count) {"),
    ("bin.cuh", "< static_cast<uint32_t>(tile)) low", "<= static_cast<uint32_t>(tile)) low"),
    ("gradients.cuh", "lane / 2, sum)", "(lane / 2 + 1) % 16, sum)"),
)


@pytest.mark.parametrize(
    "mistake", range(len(OFF_BY_ONE)), ids=[f"{name} {i}" for i, (name, *_) in enumerate(OFF_BY_ONE)]
)
def test_an_index_off_by_one_is_noticed(built: tuple[ModuleType, Path], tmp_path: Path, mistake: int):
    name, right, wrong = OFF_BY_ONE[mistake]
    copy = tmp_path / "cuda"
    shutil.copytree(build.CUDA / "gpu", copy / "gpu")
    shutil.copytree(build.CUDA / "include", copy / "include")
    source = copy / "gpu" / name
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    build.run(build.compile_kernels(tmp_path, copy, ("rasterize",)), copy)
    objects = [path for path in built[1].glob("*.o") if path.name != "rasterize.o"]
    library = tmp_path / "_ext_cuda.so"
    build.link([*objects, tmp_path / "rasterize.o"], library)
    # Classes of the same names are in this process already: the copy gets a registry of its own.
    library.write_bytes(library.read_bytes().replace(build.DOMAIN.encode(), f"{build.DOMAIN[:-1]}{mistake}".encode()))
    assert not agrees(Emulated.of(build.load(library)))


# ------------------------------------------------------------------------------------------------------ Adam and SSIM


def similarity_by_definition(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """SSIM map [planes, H, W] straight from its formula."""
    offsets = torch.arange(-5, 6, dtype=image.dtype)
    taps = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(taps, taps) / taps.sum() ** 2

    def mean(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x[:, None], window[None, None], padding=5)[:, 0]

    mx, my = mean(image), mean(target)
    xx, yy, xy = mean(image**2) - mx**2, mean(target**2) - my**2, mean(image * target) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2))


def check_similarity(native: ModuleType) -> None:
    """Map and gradient of a small image are those of the definition."""
    generator = torch.Generator().manual_seed(3)
    image, target = torch.rand(2, 19, 37, 2, generator=generator, dtype=torch.float64)
    upstream = torch.randn(image.shape, generator=generator, dtype=torch.float64)
    leaf = image.clone().requires_grad_()
    expected = similarity_by_definition(leaf.permute(2, 0, 1), target.permute(2, 0, 1)).permute(1, 2, 0)
    (gradient,) = torch.autograd.grad(expected, leaf, upstream)
    other = image.clone().requires_grad_()
    with mock.patch.object(fused_native, "_ext_cuda", native):
        found = fused.ssim(other, target)
        (actual,) = torch.autograd.grad(found, other, upstream)
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(actual, gradient, rtol=0, atol=1e-9)


def test_similarity_is_its_definition(scheduled: Emulated):
    check_similarity(scheduled.native)


def test_adam_steps_what_was_seen_as_torch_does(native: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fused_native, "_ext_cuda", native)
    generator = torch.Generator().manual_seed(4)
    start = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    seen = torch.tensor([1.0, 0.0, 2.5, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    rows = seen > 0
    ours, first, second = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    steps = torch.zeros(7, dtype=torch.int32)
    theirs = start[rows].clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.02, betas=(0.8, 0.99), eps=1e-10)
    settings = {"learning_rate": 0.02, "betas": (0.8, 0.99), "epsilon": 1e-10}
    for _ in range(5):
        gradient = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        fused.adam_step(ours, gradient, first, second, steps, seen, **settings)
        theirs.grad = gradient[rows]
        optimizer.step()
    torch.testing.assert_close(ours[rows], theirs.detach(), rtol=1e-12, atol=1e-12)
    assert torch.equal(ours[~rows], start[~rows])
    assert steps.tolist() == [5 if row else 0 for row in rows]


def test_the_emulator_is_the_same_interface(native: ModuleType, repository: Path):
    stub = (repository / "recon4d/_native/_ext_cuda.pyi").read_text()
    named = set(re.findall(r"^(?:def|class) (\w+)|^([A-Z_0-9]+): ", stub, re.MULTILINE))
    names = {first or second for first, second in named}
    assert names <= set(dir(native))
    assert {name for name in dir(native) if not name.startswith("_")} - names == {
        "set_schedule",
        "skip_barrier",
        "barriers",
    }
