"""Shared by the tests of rasterizers: running a backend, making scenes, comparing images and gradients."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from recon4d import Camera, RasterOutput, Surfels, rasterize
from recon4d.core import quaternion
from recon4d.render import available_backends
from recon4d.render.arguments import channel_count

IMAGES = ("color", "alpha", "depth", "depth_median", "normal", "distortion")

# Every cut-off too small to be seen, so that images are smooth functions of their inputs: alpha starts at 1e-14, no
# surfel is ever clamped, no pixel ever full.
SMOOTH = {"alpha_min": 1e-14, "alpha_max": 1.0, "min_transmittance": 0.0}


# ------------------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Backend:
    """Runs one backend on tensors of the CPU, wherever it draws."""

    name: str

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.name == "cuda" else "cpu")

    @property
    def repeats(self) -> bool:
        """Whether the same call gives the same gradients to the bit: CUDA's are summed by atomic additions."""
        return self.name in ("reference", "cpu")

    def __call__(self, surfels: Surfels, cameras: Camera | Sequence[Camera], **options: object) -> RasterOutput:
        def there(tensor: Tensor) -> Tensor:
            return tensor.to(self.device)

        moved = [camera.to(self.device) for camera in ([cameras] if isinstance(cameras, Camera) else cameras)]
        options = {name: there(value) if isinstance(value, Tensor) else value for name, value in options.items()}
        output = rasterize(
            surfels.to(self.device),
            moved[0] if isinstance(cameras, Camera) else moved,
            backend=self.name,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )
        return RasterOutput(**{name: tensor.cpu() for name, tensor in output.tensors().items()})


def backend_or_skip(name: str) -> Backend:
    """A backend; skips where the machine has none, but in CI, which promises a C++ compiler, cpu must be there."""
    usable, detail = available_backends()[name]
    if not usable and name == "cpu" and os.environ.get("CI") == "true":
        pytest.fail(detail)
    if not usable:
        pytest.skip(detail)
    return Backend(name)


@dataclass(frozen=True)
class Inputs:
    """Everything that gradients reach, as leaves; and what does not change them."""

    surfels: Surfels
    K: Tensor
    cam_from_world: Tensor
    width: int
    height: int
    background: Tensor
    screen_offsets: Tensor

    @staticmethod
    def of(surfels: Surfels, camera: Camera, seed: int = 0) -> Inputs:
        """Add a random background and zero offsets to a scene."""
        channels = channel_count(surfels)
        generator = torch.Generator().manual_seed(seed)
        background = torch.rand(channels, generator=generator, dtype=torch.float64).to(surfels.centers.dtype)
        offsets = torch.zeros_like(surfels.centers[..., :2])
        K, pose = camera.K, camera.cam_from_world
        return Inputs(surfels, K, pose, camera.width, camera.height, background, offsets)

    def leaves(self) -> dict[str, Tensor]:
        names = ("K", "cam_from_world", "background", "screen_offsets")
        return {**self.surfels.tensors(), **{name: getattr(self, name) for name in names}}

    def fresh(self, dtype: torch.dtype) -> Inputs:
        """Copies of another precision that require gradients."""
        new = {name: leaf.detach().to(dtype).clone().requires_grad_() for name, leaf in self.leaves().items()}
        surfels = Surfels(**{name: new.pop(name) for name in self.surfels.tensors()})
        return Inputs(surfels=surfels, width=self.width, height=self.height, **new)

    def draw(self, backend: Backend, **options: object) -> RasterOutput:
        camera = Camera(self.K, self.cam_from_world, self.width, self.height)
        return backend(self.surfels, camera, background=self.background, screen_offsets=self.screen_offsets, **options)


@dataclass(frozen=True)
class Result:
    """Images, radii and gradients of one run, as float64."""

    images: dict[str, Tensor]
    radii: Tensor
    gradients: dict[str, Tensor]


def run(backend: Backend, inputs: Inputs, dtype: torch.dtype, *, seed: int = 0, **options: object) -> Result:
    """Draw, and carry the same random gradients of all images back to all inputs."""
    leaves = inputs.fresh(dtype)
    output = leaves.draw(backend, **options)
    images = {name: getattr(output, name) for name in IMAGES}
    torch.autograd.backward(list(images.values()), [cotangent(name, images[name], seed) for name in IMAGES])
    gradients = {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.leaves().items()
    }
    return Result(
        images={name: image.detach().double() for name, image in images.items()},
        radii=output.radii.double(),
        gradients={name: gradient.double() for name, gradient in gradients.items()},
    )


def cotangent(name: str, image: Tensor, seed: int = 0) -> Tensor:
    """A random gradient for an image, the same for every backend and precision."""
    generator = torch.Generator().manual_seed(1000 * seed + IMAGES.index(name))
    return torch.randn(image.shape, generator=generator, dtype=torch.float64).to(image.dtype)


# -------------------------------------------------------------------------------------------------------------- scenes


def random_surfels(
    count: int,
    *,
    seed: int = 0,
    sh_degree: int | None = None,
    channels: int = 3,
    reach: float = 1.0,
    size: tuple[float, float] = (0.05, 0.3),
    opacity: tuple[float, float] = (0.05, 0.95),
    warped: bool = False,
    both: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Surfels:
    """Surfels anywhere in a cube around the origin; colour from sh where a degree is given, else (or also) features."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    colors: dict[str, Tensor] = {}
    if sh_degree is None or both:
        colors["features"] = uniform(0, 1, count, channels)
    if sh_degree is not None:
        colors["sh"] = 0.3 * normal(count, (sh_degree + 1) ** 2, 3)
    if warped:
        colors["world_from_canonical_wxyz"] = quaternion.normalize(normal(count, 4))
    arrays = {
        "centers": uniform(-reach, reach, count, 3),
        "rotations_wxyz": normal(count, 4),
        "scales": uniform(math.log(size[0]), math.log(size[1]), count, 2).exp(),
        "opacities": uniform(*opacity, count),
        **colors,
    }
    # Through float32, so that a test in both precisions has the very same scene.
    return Surfels(**{name: array.float().to(dtype) for name, array in arrays.items()})


def camera(
    width: int = 24,
    height: int = 18,
    *,
    eye: tuple[float, float, float] = (0.7, -3.0, 1.1),
    aspect: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    focal: float = 1.2,
    dtype: torch.dtype = torch.float32,
) -> Camera:
    """A camera that looks at the origin.

    Args:
        width, height: pixels.
        eye: where it is.
        aspect: fy / fx, so pixels are not square unless it is 1.
        shift: of the principal point from the middle of the image, pixels.
        focal: fx in image widths.
        dtype: of its matrices.
    """
    pose = Camera.look_at(eye, width=width, height=height, dtype=torch.float64).cam_from_world
    fx = focal * width
    K = [[fx, 0, width / 2 + shift[0]], [0, aspect * fx, height / 2 + shift[1]], [0, 0, 1]]
    return Camera(torch.tensor(K).to(dtype), pose.float().to(dtype), width, height)


def frontal_camera(width: int, height: int, *, focal: float = 10.0, dtype: torch.dtype = torch.float64) -> Camera:
    """At the world's origin, looking along +z, principal point in the middle of the image."""
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=dtype)
    return Camera(K, torch.eye(4, dtype=dtype), width, height)


def surfel_row(*rows: dict[str, object], dtype: torch.dtype = torch.float64, requires_grad: bool = False) -> Surfels:
    """Surfels from what is special about each: facing a frontal camera, white, of scale 1 and opacity 0.5 otherwise."""
    plain = {
        "centers": (0.0, 0.0, 5.0),
        "rotations_wxyz": (1.0, 0.0, 0.0, 0.0),
        "scales": (1.0, 1.0),
        "opacities": 0.5,
        "features": (1.0,),
    }
    arrays = {name: torch.tensor([row.get(name, value) for row in rows], dtype=dtype) for name, value in plain.items()}
    return Surfels(**{name: array.requires_grad_(requires_grad) for name, array in arrays.items()})


# ---------------------------------------------------------------------------------------------------------- comparison


def assert_same_sparsity(actual: Tensor, expected: Tensor, *, floor: float = 1e-6) -> None:
    """Every row with a real gradient has one, and no other.

    Tolerances that suit large gradients let small ones be dropped altogether; this is what notices.

    Args:
        actual, expected: [N, ...] gradients.
        floor: rows whose largest entry is below this share of the largest of all may be zero in one of the two.
    """
    size, found = (gradient.abs().reshape(len(gradient), -1).amax(1) for gradient in (expected, actual))
    real = size > floor * size.max()
    dropped = real & (found == 0)
    assert not dropped.any(), f"{int(dropped.sum())} of {int(real.sum())} gradients were dropped: {dropped.nonzero()}"
    invented = (size == 0) & (found > floor * size.max())
    assert not invented.any(), f"{int(invented.sum())} gradients come from nowhere: {invented.nonzero()}"


def assert_images_close(
    actual: Tensor, expected: Tensor, *, atol: float, band: float = 0.0, band_atol: float = math.inf
) -> None:
    """Tight inside, and a bounded share of pixels where rounding flips a decision (does this surfel reach the pixel?).

    Args:
        actual, expected: images.
        atol: largest difference inside.
        band: largest share of pixels that may differ by more.
        band_atol: largest difference there.
    """
    assert actual.shape == expected.shape
    difference = (actual - expected).abs().amax(-1)
    assert torch.isfinite(difference).all()
    outside = difference > atol
    share = float(outside.double().mean())
    assert share <= band, f"{share:.2e} of the pixels differ by more than {atol:g}, up to {float(difference.max()):.2e}"
    assert float(difference.max()) <= band_atol, f"a pixel differs by {float(difference.max()):.2e}"


@dataclass(frozen=True)
class Agreement:
    """How well gradients agree as a whole: each number is 0 for equal ones."""

    angle: float  # 1 - cosine
    l1: float  # relative
    l2: float  # relative
    bias: float  # |sum of differences| relative to the sum of sizes: rounding averages out, a mistake does not

    @staticmethod
    def of(actual: Tensor, expected: Tensor) -> Agreement:
        difference = actual - expected
        l1, l2 = expected.abs().sum().clamp_min(1e-30), expected.norm().clamp_min(1e-30)
        cosine = (actual * expected).sum() / (actual.norm().clamp_min(1e-30) * l2)
        return Agreement(
            angle=float(1 - cosine) if float(expected.abs().max()) > 0 else float(actual.norm()),
            l1=float(difference.abs().sum() / l1),
            l2=float(difference.norm() / l2),
            bias=float(difference.sum().abs() / l1),
        )


def assert_gradients_agree(
    actual: Tensor, expected: Tensor, *, angle: float, l1: float, l2: float, bias: float
) -> None:
    """Each of the numbers of `Agreement` is at most its bound."""
    assert torch.isfinite(actual).all()
    found = Agreement.of(actual, expected)
    bounds = Agreement(angle, l1, l2, bias)
    worse = [name for name in vars(bounds) if not getattr(found, name) <= getattr(bounds, name)]
    assert not worse, f"{worse} too large: {found}, bounds {bounds}"


SUMMATION = {torch.float32: 1e-4, torch.float64: 1e-12}
"""How far sums of gradients in another order may lie apart, by the precision they were computed in."""


def assert_same_gradient(
    backend: Backend, actual: Tensor, expected: Tensor, dtype: torch.dtype, *, name: str = ""
) -> None:
    """To the bit where the backend repeats itself; else apart by no more than the order of a sum explains.

    Args:
        backend: that computed both.
        actual, expected: gradients, of any type.
        dtype: that they were computed in.
        name: of what the gradient belongs to, for the message.
    """
    if backend.repeats:
        assert torch.equal(actual, expected), name
    else:
        bound = SUMMATION[dtype]
        assert_gradients_agree(actual.double(), expected.double(), angle=bound, l1=bound, l2=bound, bias=bound)
