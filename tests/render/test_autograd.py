"""What a torch user expects of a differentiable function, gradients themselves aside."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
import torch

from recon4d import Surfels, rasterize
from tests.bench.scenes import make_scene
from tests.render.helpers import (
    IMAGES,
    Backend,
    Inputs,
    assert_same_gradient,
    camera,
    cotangent,
    random_surfels,
    run,
)

SH = {"sh_degree": 1, "warped": True}


def test_radii_carry_no_gradient_and_images_do(backend: Backend):
    output = Inputs.of(random_surfels(9), camera()).fresh(torch.float32).draw(backend)
    assert not output.radii.requires_grad
    assert all(getattr(output, name).requires_grad for name in IMAGES)


def test_nothing_is_recorded_when_nothing_asks(backend: Backend):
    inputs = Inputs.of(random_surfels(9), camera())
    assert not any(image.requires_grad for image in inputs.draw(backend).tensors().values())
    with torch.no_grad():
        assert not any(image.requires_grad for image in inputs.fresh(torch.float32).draw(backend).tensors().values())


@pytest.mark.parametrize("leaf", [*random_surfels(1, **SH).tensors(), "K", "cam_from_world", "background"])
def test_one_input_alone_gets_the_gradient_it_gets_among_all(backend: Backend, leaf: str):
    inputs = Inputs.of(random_surfels(30, **SH), camera())
    together = inputs.fresh(torch.float32)
    together.draw(backend).color.sum().backward()
    alone = inputs.fresh(torch.float32)
    for name, tensor in alone.leaves().items():
        tensor.requires_grad_(name == leaf)
    alone.draw(backend).color.sum().backward()
    expected = together.leaves()[leaf].grad
    assert expected.abs().max() > 0
    torch.testing.assert_close(alone.leaves()[leaf].grad, expected)
    assert all(tensor.grad is None for name, tensor in alone.leaves().items() if name != leaf)


@pytest.mark.parametrize("image", IMAGES)
def test_one_image_alone_gives_a_gradient(backend: Backend, image: str):
    inputs = Inputs.of(random_surfels(30), camera()).fresh(torch.float32)
    getattr(inputs.draw(backend), image).square().sum().backward()
    for name in ("centers", "rotations_wxyz", "opacities", "cam_from_world"):
        gradient = inputs.leaves()[name].grad
        if image == "depth_median" and name == "opacities":  # a jump has no slope
            assert gradient is None or gradient.abs().max() == 0
        else:
            assert gradient.abs().max() > 0, name


def test_gradients_add_up_over_calls(backend: Backend):
    inputs = Inputs.of(random_surfels(30), camera()).fresh(torch.float32)
    first, second = inputs.draw(backend), inputs.draw(backend)
    first.color.sum().backward()
    once = inputs.surfels.centers.grad.clone()
    second.color.sum().backward()
    torch.testing.assert_close(inputs.surfels.centers.grad, 2 * once)


def test_two_graphs_at_once_do_not_disturb_each_other(backend: Backend):
    few, many = (Inputs.of(random_surfels(count, seed=count), camera()) for count in (20, 200))
    expected = run(backend, few, torch.float32).gradients
    leaves = few.fresh(torch.float32)
    output = leaves.draw(backend)
    run(backend, many, torch.float32)  # a frame of another size comes and goes in between
    many.fresh(torch.float32).draw(backend)
    images = [getattr(output, name) for name in IMAGES]
    torch.autograd.backward(images, [cotangent(name, image) for name, image in zip(IMAGES, images, strict=True)])
    for name, leaf in leaves.leaves().items():
        assert_same_gradient(backend, leaf.grad.double(), expected[name], torch.float32, name=name)


def test_backward_twice_needs_retain_graph(backend: Backend):
    inputs = Inputs.of(random_surfels(30), camera()).fresh(torch.float32)
    loss = inputs.draw(backend).color.square().sum()
    loss.backward(retain_graph=True)
    once = inputs.surfels.centers.grad.clone()
    loss.backward()
    torch.testing.assert_close(inputs.surfels.centers.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("leaf", [*random_surfels(1, **SH).tensors(), "K", "cam_from_world", "background"])
def test_changing_an_input_before_backward_is_no_silent_mistake(backend: Backend, leaf: str):
    """Torch refuses; or, where a backend keeps a copy, the gradient is that of the values that were drawn."""
    inputs = Inputs.of(random_surfels(30, **SH), camera())
    leaves = inputs.fresh(torch.float64)
    # Copies that may be changed in place, as an optimiser step in the wrong place would.
    tensors = {name: tensor * 1 for name, tensor in leaves.leaves().items()}
    surfels = Surfels(**{name: tensors.pop(name) for name in leaves.surfels.tensors()})
    changed = Inputs(surfels=surfels, width=inputs.width, height=inputs.height, **tensors)
    images = [getattr(changed.draw(backend), name) for name in IMAGES]
    with torch.no_grad():
        changed.leaves()[leaf].mul_(0.5)

    refused = ""
    try:
        torch.autograd.backward(images, [cotangent(name, i) for name, i in zip(IMAGES, images, strict=True)])
    except RuntimeError as error:
        refused = str(error)
    copied = backend.name == "reference" or leaf in ("K", "cam_from_world")
    assert copied or refused
    if refused:
        assert "modified by an inplace operation" in refused
    else:
        expected = run(backend, inputs, torch.float64).gradients[leaf]
        torch.testing.assert_close(leaves.leaves()[leaf].grad, expected, rtol=1e-9, atol=1e-9)


def test_compiled_backends_have_no_second_derivative(compiled: Backend):
    inputs = Inputs.of(random_surfels(30), camera()).fresh(torch.float32)
    loss = inputs.draw(compiled).color.square().sum()
    (gradient,) = torch.autograd.grad(loss, inputs.surfels.centers, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_inputs_are_left_alone(backend: Backend):
    inputs = Inputs.of(random_surfels(30, **SH), camera()).fresh(torch.float32)
    before = {name: leaf.detach().clone() for name, leaf in inputs.leaves().items()}
    output = inputs.draw(backend)
    sum(image.sum() for image in output.tensors().values()).backward()
    for name, leaf in inputs.leaves().items():
        assert torch.equal(leaf, before[name])
        assert leaf._version == 0


def test_outputs_are_fresh_memory(backend: Backend):
    surfels, view = random_surfels(30), camera()
    first, second = backend(surfels, view), backend(surfels, view)
    pointers = {image.untyped_storage().data_ptr() for output in (first, second) for image in output.tensors().values()}
    copy = {name: image.clone() for name, image in second.tensors().items()}
    for image in first.tensors().values():
        image.zero_()
    assert all(torch.equal(image, copy[name]) for name, image in second.tensors().items())
    assert len(pointers) >= 2


# ------------------------------------------------------------------------------------------------------------- threads


def bench_inputs() -> Inputs:
    scene = make_scene(3000, 83, 61, seed=2)
    return Inputs.of(scene.surfels, scene.camera)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_do_not_depend_on_the_number_of_threads(compiled: Backend, dtype: torch.dtype):
    inputs = bench_inputs()
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            results.append(run(compiled, inputs, dtype))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert torch.equal(result.radii, results[0].radii)
        for name, image in result.images.items():
            assert torch.equal(image, results[0].images[name]), name
        for name, gradient in result.gradients.items():
            assert_same_gradient(compiled, gradient, results[0].gradients[name], dtype, name=name)


def test_results_do_not_depend_on_what_was_drawn_before(compiled: Backend):
    inputs = bench_inputs()
    first = run(compiled, inputs, torch.float32)
    run(compiled, Inputs.of(random_surfels(500, channels=9, size=(0.5, 2.0)), camera(130, 90)), torch.float32)
    again = run(compiled, inputs, torch.float32)
    for name, gradient in first.gradients.items():
        assert_same_gradient(compiled, again.gradients[name], gradient, torch.float32, name=name)
    assert all(torch.equal(again.images[name], image) for name, image in first.images.items())


def test_python_threads_may_draw_at_the_same_time(backend: Backend):
    scenes = [Inputs.of(random_surfels(40 + 17 * i, seed=i), camera(20 + 5 * i, 18)) for i in range(4)]
    expected = [run(backend, inputs, torch.float32) for inputs in scenes]
    start = threading.Barrier(4)

    def work(index: int) -> None:
        start.wait()
        for _ in range(2 if backend.name == "reference" else 10):
            result = run(backend, scenes[index], torch.float32)
            for name, image in expected[index].images.items():
                assert torch.equal(result.images[name], image), name
            for name, gradient in expected[index].gradients.items():
                assert_same_gradient(backend, result.gradients[name], gradient, torch.float32, name=name)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))  # raises what a thread has raised


def test_backward_may_run_in_another_thread(backend: Backend):
    inputs = Inputs.of(random_surfels(40), camera())
    expected = run(backend, inputs, torch.float32).gradients["background"]
    leaves = inputs.fresh(torch.float32)
    image = leaves.draw(backend).color
    worker = threading.Thread(target=image.backward, args=(cotangent("color", image),))
    worker.start()
    worker.join()
    torch.testing.assert_close(leaves.background.grad.double(), expected)


def test_surfels_may_be_parameters_of_a_module():
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centers = torch.nn.Parameter(random_surfels(30).centers)

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    view, surfels = camera(), random_surfels(30)
    target = rasterize(surfels.replace(centers=surfels.centers + 0.02), view, backend="reference").color
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        output = rasterize(surfels.replace(centers=model.centers), view, backend="reference")
        loss = (output.color - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > losses[1] > losses[2]
