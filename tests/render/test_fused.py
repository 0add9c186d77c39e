"""The fused training steps against the functions of `field` and `losses` that define them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from recon4d import _native, losses
from recon4d.core import InputError, SE3Spline, quaternion
from recon4d.field import BonesWarp
from recon4d.field.blending import blend_dual_quaternion, blend_linear
from recon4d.render import fused
from recon4d.render.fused import native
from tests.render.helpers import backend_or_skip

DTYPES = (torch.float64, torch.float32)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
SPANS = {"bone_start": 0.1, "bone_step": 0.5, "root_start": 0.0, "root_step": 0.9}


@pytest.fixture(autouse=True)
def _native_module() -> None:
    backend_or_skip("cpu")


@pytest.fixture
def threads() -> Iterator[None]:
    """Gives the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def assert_close(actual: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    assert len(actual) == len(expected)
    for found, wanted in zip(actual, expected, strict=True):
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        scale = max(1.0, float(wanted.detach().abs().max())) if wanted.numel() else 1.0
        assert torch.allclose(found, wanted, rtol=0, atol=tolerance * scale), float((found - wanted).abs().max())


def gradients(outputs: Any, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """For the same random upstream gradients of outputs of one kind."""
    upstream = [random(*output.shape, seed=i, dtype=output.dtype) for i, output in enumerate(outputs)]
    return torch.autograd.grad(outputs, inputs, upstream)


# ------------------------------------------------------------------------------------------------------------- bones


def paths(bones: int, dtype: torch.dtype, *, turn: float = 0.5, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Control poses of bones and root as leaves, rotations of any length, and bones at rest."""
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    length = 1 + random(bones, 7, 1, seed=seed + 1).abs()
    bone_rotations = (identity + turn * random(bones, 7, 4, seed=seed)) * length
    root_rotations = identity + turn * random(5, 4, seed=seed + 2)
    arrays = (bone_rotations, random(bones, 7, 3, seed=seed + 3), root_rotations, random(5, 3, seed=seed + 4))
    return leaves(*(array.to(dtype) for array in arrays)), random(bones, 3, seed=seed + 5, dtype=dtype)


def transforms(controls: Sequence[Tensor], rest: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    bone_rotations, bone_translations, root_rotations, root_translations = controls
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=rest.dtype).repeat(len(rest), 1)
    weights = rest.new_zeros(0, 4)
    root = SE3Spline(root_rotations, root_translations, SPANS["root_start"], SPANS["root_step"])
    path = SE3Spline(bone_rotations, bone_translations, SPANS["bone_start"], SPANS["bone_step"])
    return BonesWarp(root, identity, rest, path, weights.long(), weights).transforms_at(times)


def fused_transforms(controls: Sequence[Tensor], rest: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    names = ("bone_rotations", "bone_translations", "root_rotations", "root_translations")
    return fused.bone_transforms(**dict(zip(names, controls, strict=True)), **SPANS, rest=rest, times=times)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bones", [1, 2, 25])
@pytest.mark.parametrize("turn", [0.0, 1e-5, 0.02, 0.5, 3.0])
def test_bones_are_where_the_warp_has_them(dtype: torch.dtype, bones: int, turn: float):
    # At random turns of any size some steps are near half turns, where rounding decides the way round: in float64 only.
    turn = turn if dtype == torch.float64 else min(turn, 0.5)
    controls, rest = paths(bones, dtype, turn=turn)
    # Inside, at knots, and outside of the domain.
    times = torch.tensor([0.13, 0.6, 1.7, -1.0, 99.0], dtype=torch.float64)
    expected, found = transforms(controls, rest, times), fused_transforms(controls, rest, times)
    assert_close(found, expected, TOLERANCE[dtype])
    assert_close(gradients(found, controls), gradients(expected, controls), 10 * TOLERANCE[dtype])


def test_gradients_of_bones_are_those_of_finite_differences():
    controls, rest = paths(2, torch.float64)
    times = torch.tensor([0.3, 1.1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *c: fused_transforms(c, rest, times), controls)
    still, rest = paths(2, torch.float64, turn=0.0)
    assert torch.autograd.gradcheck(lambda *c: fused_transforms(c, rest, times), still)


def test_half_turns_and_zeros_have_finite_gradients():
    controls, rest = paths(2, torch.float64)
    with torch.no_grad():
        controls[0][0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        controls[0][0, 2] = torch.tensor([0.0, 1.0, 0.0, 0.0])
        controls[0][1, 1] = 0
    times = torch.tensor([0.9], dtype=torch.float64)
    expected, found = transforms(controls, rest, times), fused_transforms(controls, rest, times)
    assert_close(found, expected, 1e-11)
    grads = gradients(found, controls)
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert_close(grads, gradients(expected, controls), 1e-10)


def test_gradients_of_bones_come_only_where_they_are_wanted():
    controls, rest = paths(3, torch.float64)
    times = torch.tensor([0.3], dtype=torch.float64)
    all_of_them = gradients(transforms(controls, rest, times)[1:], controls)
    frozen = [c.detach() if i % 2 else c for i, c in enumerate(controls)]
    _, translations = fused_transforms(frozen, rest, times)
    assert_close(gradients([translations], frozen[::2]), all_of_them[::2], 1e-11)


def test_a_time_that_is_not_finite_is_refused():
    controls, rest = paths(1, torch.float32)
    with pytest.raises(InputError, match="times"):
        fused_transforms(controls, rest, torch.tensor([0.0, math.nan], dtype=torch.float64))


# ----------------------------------------------------------------------------------------------------------- skinning


def bound(points: int, bones: int, times: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor, Tensor]:
    """The differentiable arguments of skinning as leaves, slots, and places at rest."""
    rest = random(bones, 3, seed=10)
    centers = random(points, 3, seed=11)
    used = min(4, bones)
    slots = torch.cdist(centers, rest).topk(used, largest=False).indices
    arrays = (
        centers,
        random(points, 4, seed=12),
        random(points, 4, seed=13),
        0.2 * random(bones, 3, seed=14),
        quaternion.normalize(random(times, bones, 4, seed=15)),
        random(times, bones, 3, seed=16),
    )
    return leaves(*(a.to(dtype) for a in arrays)), torch.nn.functional.pad(slots, (0, 4 - used)), rest.to(dtype)


def skin(arrays: Sequence[Tensor], slots: Tensor, rest: Tensor, blend: str) -> tuple[Tensor, Tensor, Tensor]:
    centers, rotations, correction, log_radii, bone_rotations, bone_translations = arrays
    away = centers.detach()[:, None] - rest[slots]
    logits = correction - (away.square() * torch.exp(-2 * log_radii)[slots]).sum(-1)
    weights = logits.masked_fill(torch.arange(4) >= len(rest), -math.inf).softmax(-1)
    blended = blend_linear if blend == "linear" else blend_dual_quaternion
    moved, turns = blended(centers, weights, slots, bone_rotations, bone_translations)
    return moved, quaternion.multiply(turns, rotations), turns


def fused_skin(arrays: Sequence[Tensor], slots: Tensor, rest: Tensor, blend: Any) -> tuple[Tensor, Tensor, Tensor]:
    centers, rotations, correction, log_radii, bone_rotations, bone_translations = arrays
    return fused.skin(
        centers, rotations, slots, correction, rest, log_radii, bone_rotations, bone_translations, blend=blend
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
@pytest.mark.parametrize(("points", "bones", "times"), [(0, 3, 1), (1, 1, 1), (50, 2, 2), (33, 3, 1), (2100, 25, 2)])
def test_skinning_is_the_blending_of_the_field(dtype: torch.dtype, blend: str, points: int, bones: int, times: int):
    arrays, slots, rest = bound(points, bones, times, dtype)
    expected, found = skin(arrays, slots, rest, blend), fused_skin(arrays, slots, rest, blend)
    assert_close(found, expected, TOLERANCE[dtype])
    assert_close(gradients(found, arrays), gradients(expected, arrays), 10 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", native.kernel_names())
@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
def test_every_instruction_set_skins_alike(name: str, blend: str):
    arrays, slots, rest = bound(700, 9, 2, torch.float32)
    native.use_kernels(name)
    try:
        found = fused_skin(arrays, slots, rest, blend)
        grads = gradients(found, arrays)
    finally:
        native.use_kernels(None)
    expected = skin(arrays, slots, rest, blend)
    assert_close(found, expected, 2e-5)
    assert_close(grads, gradients(expected, arrays), 2e-4)


@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
def test_gradients_of_skinning_are_those_of_finite_differences(blend: str):
    # The weights do not see the centres move, so finite differences may not either.
    (centers, *arrays), slots, rest = bound(5, 6, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda *a: fused_skin([centers.detach(), *a], slots, rest, blend), arrays)


def test_gradients_of_skinning_come_only_where_they_are_wanted():
    arrays, slots, rest = bound(40, 5, 2, torch.float64)
    everything = gradients(fused_skin(arrays, slots, rest, "linear"), arrays)
    for wanted in range(len(arrays)):
        frozen = [a if i == wanted else a.detach() for i, a in enumerate(arrays)]
        outputs = fused_skin(frozen, slots, rest, "linear")
        used = [i for i, output in enumerate(outputs) if output.requires_grad]
        assert used == [0, 1, 2]
        assert torch.equal(gradients(outputs, [frozen[wanted]])[0], everything[wanted])
    # Of one output alone, the others having no gradient.
    centers, _, _ = fused_skin(arrays, slots, rest, "linear")
    expected = gradients(skin(arrays, slots, rest, "linear")[:1], [a for i, a in enumerate(arrays) if i != 1])
    assert_close(gradients([centers], [a for i, a in enumerate(arrays) if i != 1]), expected, 1e-10)


def test_a_slot_without_a_bone_is_refused():
    arrays, slots, rest = bound(40, 5, 1, torch.float32)
    for wrong in (5, -1, 2**40):
        slots[33, 2] = wrong
        with pytest.raises(InputError, match="slots"):
            fused_skin(arrays, slots, rest, "linear")


# ------------------------------------------------------------------------------------------------------------- images


def planes(channels: int, height: int, width: int, seed: int, dtype: torch.dtype) -> Tensor:
    """An image that is a view of planes, with some pixels equal for every seed."""
    image = random(channels, height, width, seed=seed).sigmoid()
    image[:, ::3] = random(channels, height, width, seed=99).sigmoid()[:, ::3]
    return image.to(dtype).permute(1, 2, 0)


SIZES = [(1, 1), (3, 5), (33, 47), (64, 64), (70, 131)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_photometric_error_is_l1_and_dssim(dtype: torch.dtype, share: float, height: int, width: int):
    (image,) = leaves(planes(3, height, width, 1, dtype))
    target = planes(3, height, width, 2, dtype)
    expected = (1 - share) * losses.color_error(image, target) + share * losses.dssim(image, target)
    found, mean_square = fused.photometric_errors(image, target, share)
    assert torch.equal(found, fused.photometric_error(image, target, share))
    assert_close([found, mean_square], [expected, (image - target).square().mean()], TOLERANCE[dtype])
    assert not mean_square.requires_grad
    scale = height * width  # of a mean
    for factor in (1.0, 0.3):
        (grad,) = torch.autograd.grad(factor * found, image, retain_graph=True)
        (wanted,) = torch.autograd.grad(factor * expected, image, retain_graph=True)
        assert_close([grad * scale], [wanted * scale], 20 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", native.kernel_names())
def test_every_instruction_set_compares_alike(name: str):
    (image,) = leaves(planes(2, 37, 75, 1, torch.float32))
    target = planes(2, 37, 75, 2, torch.float32)
    expected = 0.8 * losses.color_error(image, target) + 0.2 * losses.dssim(image, target)
    native.use_kernels(name)
    try:
        found = fused.photometric_error(image, target)
    finally:
        native.use_kernels(None)
    assert_close([found], [expected], 1e-5)
    scale = 37 * 75
    assert_close(
        [torch.autograd.grad(found, image)[0] * scale], [torch.autograd.grad(expected, image)[0] * scale], 1e-4
    )


def test_images_in_any_layout():
    image, target = planes(3, 20, 30, 1, torch.float64), planes(3, 20, 30, 2, torch.float64)
    expected = fused.photometric_error(image, target)
    assert torch.equal(fused.photometric_error(image.contiguous(), target.contiguous()), expected)
    assert torch.autograd.gradcheck(
        lambda x: fused.photometric_error(x, target[:5, :6].contiguous()), leaves(image[:5, :6].contiguous())
    )


# ------------------------------------------------------------------------------------------------------------ normals


def maps(height: int, width: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor, Tensor]:
    """Normals and depth as leaves, in places zero; coverage; and intrinsics."""
    depth = 3 + 0.3 * random(height, width, 1, seed=1)
    normal = random(height, width, 3, seed=2)
    alpha = random(height, width, 1, seed=3).add(1.5).sigmoid()
    depth[: height // 3] = 0
    normal[:, : width // 4] = 0
    K = torch.tensor([[0.9 * width, 0, 0.4 * width], [0, 1.1 * width, 0.6 * height], [0, 0, 1]], dtype=dtype)
    return leaves(normal.to(dtype), depth.to(dtype)), alpha.to(dtype), K


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width"), [(3, 3), (4, 3), (9, 12), (33, 47), (64, 131)])
def test_normal_consistency_is_that_of_the_losses(dtype: torch.dtype, height: int, width: int):
    (normal, depth), alpha, K = maps(height, width, dtype)
    expected = losses.normal_consistency(normal, alpha, depth, K)
    found = fused.normal_consistency(normal, alpha, depth, K)
    assert_close([found], [expected], TOLERANCE[dtype])
    scale = height * width
    found, expected = (torch.autograd.grad(0.3 * scale * loss, (normal, depth)) for loss in (found, expected))
    assert_close(found, expected, 20 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", native.kernel_names())
def test_every_instruction_set_sees_the_same_normals(name: str):
    (normal, depth), alpha, K = maps(21, 53, torch.float32)
    expected = losses.normal_consistency(normal, alpha, depth, K)
    native.use_kernels(name)
    try:
        found = fused.normal_consistency(normal, alpha, depth, K)
    finally:
        native.use_kernels(None)
    assert_close([found], [expected], 1e-5)
    found, expected = (torch.autograd.grad(100 * loss, (normal, depth)) for loss in (found, expected))
    assert_close(found, expected, 1e-4)


def test_normal_consistency_counts_nothing_where_nothing_is_covered():
    (normal, depth), alpha, K = maps(9, 12, torch.float64)
    loss = fused.normal_consistency(normal, torch.zeros_like(alpha), depth, K)
    assert float(loss.detach()) == 0
    assert not any(bool(grad.any()) for grad in torch.autograd.grad(loss, (normal, depth)))


def test_gradients_of_normal_consistency_come_only_where_they_are_wanted():
    (normal, depth), alpha, K = maps(9, 12, torch.float64)
    both = torch.autograd.grad(fused.normal_consistency(normal, alpha, depth, K), (normal, depth))
    (only,) = torch.autograd.grad(fused.normal_consistency(normal, alpha, depth.detach(), K), normal)
    assert torch.equal(only, both[0])
    (only,) = torch.autograd.grad(fused.normal_consistency(normal.detach(), alpha, depth, K), depth)
    assert torch.equal(only, both[1])


# ------------------------------------------------------------------------------------------------------------ targets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 1), (1, 7), (13, 37)])
def test_a_target_is_an_image_over_a_background(dtype: torch.dtype, height: int, width: int):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (20, 45, 4), generator=generator).to(torch.uint8)
    box = image[3 : 3 + height, 6 : 6 + width]
    background = torch.tensor([0.2, 0.9, 0.5], dtype=dtype)
    share = box.to(dtype) / 255
    for pixels in (box, box.contiguous(), box.permute(2, 0, 1).contiguous().permute(1, 2, 0)):
        color, mask = fused.compose(pixels, background)
        assert_close([color, mask], [share[..., :3] + (1 - share[..., 3:]) * background, share[..., 3:]], 1e-7)
        assert color.permute(2, 0, 1).is_contiguous()


# ------------------------------------------------------------------------------------------------------------- all


def test_bits_do_not_depend_on_the_number_of_threads(threads: None):
    arrays, slots, rest = bound(5000, 9, 2, torch.float32)
    (image,) = leaves(planes(3, 90, 140, 1, torch.float32))
    target = planes(3, 90, 140, 2, torch.float32)
    (normal, depth), alpha, K = maps(150, 180, torch.float32)
    results = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        tensors: list[Tensor] = []
        for blend in ("linear", "dual_quaternion"):
            skinned = fused_skin(arrays, slots, rest, blend)
            tensors += [*skinned, *gradients(skinned, arrays)]
        for share in (0.0, 0.2):
            loss = fused.photometric_error(image, target, share)
            tensors += [loss, *torch.autograd.grad(loss, image)]
        loss = fused.normal_consistency(normal, alpha, depth, K)
        tensors += [loss, *torch.autograd.grad(loss, (normal, depth))]
        results.append(tensors)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_what_is_available(monkeypatch: pytest.MonkeyPatch):
    """Step by step and device by device, whether this machine has the other module or not."""
    monkeypatch.setattr(native, "_ext_cuda", object())
    on_cuda = {"adam_step", "photometric_error", "photometric_errors", "ssim"}
    for step in set(fused.__all__) - {"available"}:
        on_cpu = step not in ("adam_step", "ssim")
        assert fused.available(step, "cpu", torch.float32) == on_cpu, step
        assert fused.available(step, torch.device("cpu"), torch.float64) == on_cpu, step
        assert fused.available(step, "cuda", torch.float32) == (step in on_cuda), step
        assert fused.available(step, torch.device("cuda", 1), torch.float64) == (step in on_cuda), step
        assert not fused.available(step, "cpu", torch.float16)
        assert not fused.available(step, "cuda", torch.bfloat16)
        assert not fused.available(step, "mps", torch.float32)
    with pytest.raises(ValueError, match="no fused step 'adam'"):
        fused.available("adam", "cpu", torch.float32)


def test_nothing_is_available_without_the_module(monkeypatch: pytest.MonkeyPatch):
    assert _native.available
    monkeypatch.setattr(native, "_ext", None)
    monkeypatch.setattr(native, "_ext_cuda", None)
    assert not fused.available("skin", "cpu", torch.float32)
    assert not fused.available("ssim", "cuda", torch.float32)
    assert native.kernel_names() == []
