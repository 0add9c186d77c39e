"""A batch is its views, one by one."""

from __future__ import annotations

import pytest
import torch

from recon4d import Camera, RasterOutput, Surfels
from recon4d.core import quaternion
from tests.render.helpers import Backend, Inputs, camera, cotangent, random_surfels, run

EYES = [(0.7, -3.0, 1.1), (-2.0, -2.0, 0.5), (0.3, 2.8, -0.4)]


def views(count: int = 3, dtype: torch.dtype = torch.float32) -> list[Camera]:
    return [camera(20, 14, eye=eye, dtype=dtype) for eye in EYES[:count]]


def states(count: int, **options: object) -> list[Surfels]:
    """The same surfels at several moments: moved and turned, all else shared."""
    rest = random_surfels(60, sh_degree=1, warped=True, **options)
    moved = []
    for i in range(count):
        turn = quaternion.exp(torch.tensor([0.2 * i, -0.1 * i, 0.3 * i]).to(rest.centers.dtype))
        moved.append(
            rest.replace(
                centers=quaternion.rotate(turn, rest.centers) + 0.1 * i,
                rotations_wxyz=quaternion.multiply(turn, rest.rotations_wxyz),
                world_from_canonical_wxyz=quaternion.multiply(turn, rest.world_from_canonical_wxyz),
            )
        )
    return moved


def stacked(each: list[Surfels], names: tuple[str, ...] = ("centers", "rotations_wxyz")) -> Surfels:
    """One batch of states, in which only the named arrays (and what else differs) have a batch dimension."""
    batch = {}
    for name, first in each[0].tensors().items():
        arrays = [state.tensors()[name] for state in each]
        shared = name not in names and all(torch.equal(first, array) for array in arrays)
        batch[name] = first if shared else torch.stack(arrays)
    return Surfels(**batch)


def assert_is(batch: RasterOutput, singles: list[RasterOutput]) -> None:
    assert batch.color.shape[0] == len(singles)
    for i, single in enumerate(singles):
        for name, image in single.tensors().items():
            assert torch.equal(batch.tensors()[name][i], image), (i, name)
            assert torch.equal(getattr(batch.view(i), name), image)


def test_one_camera_and_one_state_have_no_batch_axis(backend: Backend):
    output = backend(random_surfels(9, channels=5), camera(20, 14))
    shapes = {name: tuple(image.shape) for name, image in output.tensors().items()}
    assert shapes == {
        "color": (14, 20, 5),
        "alpha": (14, 20, 1),
        "depth": (14, 20, 1),
        "depth_median": (14, 20, 1),
        "normal": (14, 20, 3),
        "distortion": (14, 20, 1),
        "radii": (9,),
    }
    assert all(image.dtype == torch.float32 for image in output.tensors().values())


def test_a_list_of_one_camera_is_a_batch_of_one(backend: Backend):
    surfels, view = random_surfels(9), camera(20, 14)
    output = backend(surfels, [view])
    assert output.color.shape == (1, 14, 20, 3)
    assert output.radii.shape == (1, 9)
    assert_is(output, [backend(surfels, view)])
    one_state = surfels.replace(centers=surfels.centers[None])
    assert_is(backend(one_state, view), [backend(surfels, view)])
    assert_is(backend(surfels, (view,)), [backend(surfels, view)])


def test_cameras(backend: Backend):
    surfels = states(1)[0]
    assert_is(backend(surfels, views()), [backend(surfels, view) for view in views()])


def test_states(backend: Backend):
    view, each = camera(20, 14), states(3)
    assert_is(backend(stacked(each), view), [backend(state, view) for state in each])
    everything = tuple(each[0].tensors())
    assert_is(backend(stacked(each, everything), [view]), [backend(state, view) for state in each])


def test_cameras_and_states_in_step(backend: Backend):
    each = states(3)
    singles = [backend(state, view) for state, view in zip(each, views(), strict=True)]
    assert_is(backend(stacked(each), views()), singles)


def test_a_batch_of_one_is_shared_by_all(backend: Backend):
    surfels = states(1)[0]
    mixed = surfels.replace(centers=surfels.centers[None], opacities=surfels.opacities[None])
    assert_is(backend(mixed, views()), [backend(surfels, view) for view in views()])


def test_backgrounds_and_offsets_in_a_batch(backend: Backend):
    surfels = random_surfels(40)
    generator = torch.Generator().manual_seed(0)
    for background in (torch.rand(3, generator=generator), torch.rand(14, 20, 3, generator=generator)):
        for offsets in (torch.randn(40, 2, generator=generator), torch.randn(3, 40, 2, generator=generator)):
            singles = [
                backend(
                    surfels, view, background=background, screen_offsets=offsets if offsets.ndim == 2 else offsets[i]
                )
                for i, view in enumerate(views())
            ]
            assert_is(backend(surfels, views(), background=background, screen_offsets=offsets), singles)
            if offsets.ndim == 3:  # offsets alone make a batch
                singles = [backend(surfels, views()[0], screen_offsets=each) for each in offsets]
                assert_is(backend(surfels, views()[0], screen_offsets=offsets), singles)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_of_a_batch_are_those_of_its_views(backend: Backend, shared: bool):
    """Summed where an array is shared, side by side where it has a batch dimension."""
    dtype = torch.float64
    each = states(3, dtype=dtype)
    if shared:
        each = [each[0]] * 3
    single = []
    for i, (state, view) in enumerate(zip(each, views(dtype=dtype), strict=True)):
        single.append(run(backend, Inputs.of(state, view), dtype, seed=i).gradients)

    names = () if shared else ("centers", "rotations_wxyz", "world_from_canonical_wxyz")
    batch = each[0] if shared else stacked(each, names)
    leaves = {name: array.clone().requires_grad_() for name, array in batch.tensors().items()}
    cameras = [
        Camera(view.K.clone().requires_grad_(), view.cam_from_world.clone().requires_grad_(), view.width, view.height)
        for view in views(dtype=dtype)
    ]
    inputs = Inputs.of(each[0], cameras[0])
    background = inputs.background.clone().requires_grad_()
    offsets = torch.zeros(60, 2, dtype=dtype, requires_grad=True)
    output = backend(Surfels(**leaves), cameras, background=background, screen_offsets=offsets)
    images = {name: image for name, image in output.tensors().items() if name != "radii"}
    weights = [torch.stack([cotangent(n, image[0], seed=i) for i in range(3)]) for n, image in images.items()]
    torch.autograd.backward(list(images.values()), weights)

    tolerance = {"rtol": 1e-9, "atol": 1e-9}
    for name, leaf in leaves.items():
        parts = torch.stack([gradients[name] for gradients in single])
        torch.testing.assert_close(leaf.grad, parts if name in names else parts.sum(0), **tolerance)
    for name, leaf in {"background": background, "screen_offsets": offsets}.items():
        torch.testing.assert_close(leaf.grad, sum(gradients[name] for gradients in single), **tolerance)
    for view, gradients in zip(cameras, single, strict=True):
        torch.testing.assert_close(view.K.grad, gradients["K"], **tolerance)
        torch.testing.assert_close(view.cam_from_world.grad, gradients["cam_from_world"], **tolerance)


def test_the_same_camera_many_times_sums_its_gradients(backend: Backend):
    view = camera(9, 8)
    K = view.K.clone().requires_grad_()
    shared = Camera(K, view.cam_from_world, 9, 8)
    surfels = random_surfels(20)
    backend(surfels, [shared] * 4).color.sum().backward()
    four = K.grad.clone()
    K.grad = None
    backend(surfels, shared).color.sum().backward()
    torch.testing.assert_close(four, 4 * K.grad, rtol=1e-5, atol=1e-6)
