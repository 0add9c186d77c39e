"""Scenes on a device with random upstream gradients, and how long they take; for `gpu.py`."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recon4d import Camera, RasterOutput, Surfels, rasterize
from recon4d.render import Limits
from tests.bench.gpu_verdicts import EQUAL
from tests.bench.scenes import make_scene

WARM_UP, REPEATS = 10, 40
IMAGES = ("color", "depth", "alpha", "normal", "distortion", "depth_median")
Images = dict[str, Tensor]


class Case:
    """One scene on one device, ready to run."""

    def __init__(self, count: int, width: int, height: int, device: str = "cuda") -> None:
        scene = make_scene(count, width, height)
        self.arrays = {n: t.to(device).requires_grad_() for n, t in scene.surfels.tensors().items()}
        self.K = scene.camera.K.to(device).requires_grad_()
        self.pose = scene.camera.cam_from_world.to(device).requires_grad_()
        self.width, self.height = width, height
        generator = torch.Generator().manual_seed(1)
        channels = {"color": 3, "normal": 3}
        self.upstream = {
            name: torch.randn(height, width, channels.get(name, 1), generator=generator).to(device) for name in IMAGES
        }

    def draw(self, backend: str) -> Images:
        """The images of one of our backends."""
        camera = Camera(self.K, self.pose, self.width, self.height)
        return _images(rasterize(Surfels(**self.arrays), camera, backend=backend))  # type: ignore[arg-type]

    def draw_unchecked(self, module: Any) -> Images:
        """The same of a backend's module, past the checks that read cameras back: what a CUDA graph can record."""
        output = module.rasterize_batch(
            Surfels(**self.arrays),
            self.K[None],
            self.pose[None],
            self.width,
            self.height,
            background=None,
            limits=Limits(),
            screen_offsets=None,
        )
        return _images(output.squeezed())

    def draw_gsplat(self) -> Images:
        """The images of gsplat called directly, by our names; its normals are in the world's frame."""
        import gsplat

        a = self.arrays
        scales = torch.cat([a["scales"], torch.ones_like(a["scales"][:, :1])], dim=-1)
        color, alpha, normal, _, distortion, median, _ = gsplat.rasterization_2dgs(
            means=a["centers"],
            quats=a["rotations_wxyz"],
            scales=scales,
            opacities=a["opacities"],
            colors=a["features"][None],
            viewmats=self.pose[None],
            Ks=self.K.detach()[None],
            width=self.width,
            height=self.height,
            packed=False,
            render_mode="RGB+ED",
            distloss=True,
        )
        images = (color[..., :3], color[..., 3:], alpha, normal, distortion, median)
        return {name: image[0] for name, image in zip(IMAGES, images, strict=True)}

    def leaves(self, *, intrinsics: bool = True) -> dict[str, Tensor]:
        """What gradients are asked for: gsplat has none for the intrinsics."""
        return {**self.arrays, "cam_from_world": self.pose, **({"K": self.K} if intrinsics else {})}

    def backward(self, images: Images, *, intrinsics: bool = True) -> dict[str, Tensor]:
        """Gradients of all images' random weighting."""
        leaves = self.leaves(intrinsics=intrinsics)
        upstream = [self.upstream[name] for name in IMAGES]
        found = torch.autograd.grad([images[n] for n in IMAGES], list(leaves.values()), upstream, allow_unused=True)
        return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, found, strict=True)}


def _images(output: RasterOutput) -> Images:
    return {name: getattr(output, name) for name in IMAGES}


def differences(ours: Images, theirs: Images) -> dict[str, dict[str, float]]:
    """How far images lie apart: mean, most, and the share of pixels beyond `EQUAL`."""
    found = {}
    for name, image in ours.items():
        pixels = (image.detach().cpu() - theirs[name].detach().cpu()).abs().amax(-1)
        over = float((~(pixels <= EQUAL)).double().mean())
        found[name] = {"mean": float(pixels.mean()), "max": float(pixels.max()), "over": over}
    return found


def apart(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, float]:
    """How far gradients lie apart, relative to their norms."""
    return {
        name: float((ours[name].detach().cpu() - g.detach().cpu()).norm() / g.detach().cpu().norm().clamp_min(1e-30))
        for name, g in theirs.items()
    }


def measure(case: Case, draw: Callable[[], Images], *, intrinsics: bool) -> dict[str, float]:
    """Median milliseconds, and peak memory above what the scene itself holds."""
    times = []
    for step in range(WARM_UP + REPEATS):
        if step == WARM_UP:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        events[0].record()
        images = draw()
        events[1].record()
        case.backward(images, intrinsics=intrinsics)
        events[2].record()
        torch.cuda.synchronize()
        times.append((events[0].elapsed_time(events[1]), events[1].elapsed_time(events[2])))
        del images
    counted = times[WARM_UP:]
    return {
        "forward_ms": statistics.median(f for f, _ in counted),
        "backward_ms": statistics.median(b for _, b in counted),
        "total_ms": statistics.median(f + b for f, b in counted),
        "memory_mb": (torch.cuda.max_memory_allocated() - held) / 1e6,
    }
