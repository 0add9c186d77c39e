"""LPIPS from weights that the user has: never downloaded, never required.

R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018.  The learned weights are not part of recon4d.  Name a safetensors file through the environment
variable RECON4D_LPIPS_WEIGHTS or the `weights` argument; it holds, in float32:

- `features.N.weight`, `features.N.bias`: the convolutions of AlexNet or VGG-16 under torchvision's numbering
  (AlexNet: N = 0, 3, 6, 8, 10; VGG-16: N = 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), trained on ImageNet;
- `lin0.weight` ... `lin4.weight`: the channel weights of the five layers, [C] or [1, C, 1, 1] (the
  `linK.model.1.weight` of the authors' version 0.1 release).

Images go in as display values in [0, 1] and are mapped to [-1, 1] and through the authors' shift and scale inside.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from recon4d.core import InputError
from recon4d.evaluate.checks import as_image_pair

ENVIRONMENT_VARIABLE = "RECON4D_LPIPS_WEIGHTS"
# Each block: an optional max pooling (kernel, stride) before it, then convolutions (index, in, out, kernel, stride,
# padding), each followed by a ReLU; the block's output is one of the five layers that are compared.
_ALEXNET = (
    (None, ((0, 3, 64, 11, 4, 2),)),
    ((3, 2), ((3, 64, 192, 5, 1, 2),)),
    ((3, 2), ((6, 192, 384, 3, 1, 1),)),
    (None, ((8, 384, 256, 3, 1, 1),)),
    (None, ((10, 256, 256, 3, 1, 1),)),
)
_VGG16 = (
    (None, ((0, 3, 64, 3, 1, 1), (2, 64, 64, 3, 1, 1))),
    ((2, 2), ((5, 64, 128, 3, 1, 1), (7, 128, 128, 3, 1, 1))),
    ((2, 2), ((10, 128, 256, 3, 1, 1), (12, 256, 256, 3, 1, 1), (14, 256, 256, 3, 1, 1))),
    ((2, 2), ((17, 256, 512, 3, 1, 1), (19, 512, 512, 3, 1, 1), (21, 512, 512, 3, 1, 1))),
    ((2, 2), ((24, 512, 512, 3, 1, 1), (26, 512, 512, 3, 1, 1), (28, 512, 512, 3, 1, 1))),
)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_MIN_SIDE = {"alex": 63, "vgg": 16}  # the smallest image of which the last layer keeps at least one pixel


@dataclass(frozen=True, eq=False)
class Lpips:
    """A loaded network; call it on two images.

    Attributes:
        network: "alex" or "vgg".
        weights: the tensors of the file, by name.
    """

    network: str
    weights: dict[str, Tensor]

    @staticmethod
    def load(path: Path) -> Lpips:
        """Reads the safetensors file described in this module.

        Raises:
            InputError: when it is missing, not safetensors, or a tensor is absent, of a wrong shape, or not finite.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"LPIPS weights {path}",
                expected="a readable safetensors file",
                got=str(error),
                fix=f"correct the path in {ENVIRONMENT_VARIABLE}, or unset it to leave LPIPS out",
            ) from error
        network = "vgg" if "features.28.weight" in stored else "alex"
        weights = {}
        for name, shape in _shapes(network).items():
            tensor = stored.get(name)
            if tensor is not None and name.startswith("lin"):
                tensor = tensor.reshape(-1)
            if tensor is None or tuple(tensor.shape) != shape or not bool(tensor.float().isfinite().all()):
                raise InputError(
                    f"LPIPS weights {path}: {name}",
                    expected=f"a finite tensor {list(shape)} ({network})",
                    got="nothing" if tensor is None else f"{list(tensor.shape)}, or values that are not finite",
                    fix="write the file as the documentation of recon4d.evaluate.lpips says",
                )
            weights[name] = tensor.float()
        return Lpips(network, weights)

    @staticmethod
    def from_environment() -> Lpips | None:
        """The network whose file RECON4D_LPIPS_WEIGHTS names, or None where that is unset or empty."""
        path = os.environ.get(ENVIRONMENT_VARIABLE)
        return Lpips.load(Path(path)) if path else None

    def __call__(self, image: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."]) -> float:
        """The perceptual distance of two images [H, W, 3], 0 for identical ones.

        Raises:
            InputError: wrong types, sizes or values, or images too small for the network.
        """
        first, second = as_image_pair(image, reference)
        least = _MIN_SIDE[self.network]
        if min(first.shape[:2]) < least:
            raise InputError(
                "image",
                expected=f"sides of at least {least} pixels for LPIPS ({self.network})",
                got=f"{first.shape[1]}x{first.shape[0]}",
                fix="compare at a higher resolution, or unset the weights",
            )
        with torch.no_grad():
            layers = zip(self._features(first), self._features(second), strict=True)
            return sum(
                float(((a - b) ** 2 * self.weights[f"lin{k}.weight"][:, None, None]).sum(0).mean())
                for k, (a, b) in enumerate(layers)
            )

    def _features(self, image: Float[np.ndarray, "h w 3"]) -> list[Tensor]:
        """The five compared layers [C, h, w], unit length over channels at each pixel."""
        x = torch.from_numpy(image).float().permute(2, 0, 1) * 2 - 1
        x = (x - torch.tensor(_SHIFT)[:, None, None]) / torch.tensor(_SCALE)[:, None, None]
        layers = []
        for pooling, convolutions in _VGG16 if self.network == "vgg" else _ALEXNET:
            if pooling is not None:
                x = functional.max_pool2d(x[None], pooling[0], pooling[1])[0]
            for index, _, _, _, stride, padding in convolutions:
                weight, bias = self.weights[f"features.{index}.weight"], self.weights[f"features.{index}.bias"]
                x = functional.conv2d(x[None], weight, bias, stride, padding)[0].relu()
            layers.append(x / (x.square().sum(0, keepdim=True).sqrt() + 1e-10))
        return layers


def _shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor the file must hold."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (_, convolutions) in enumerate(_VGG16 if network == "vgg" else _ALEXNET):
        for index, channels_in, channels_out, kernel, _, _ in convolutions:
            shapes[f"features.{index}.weight"] = (channels_out, channels_in, kernel, kernel)
            shapes[f"features.{index}.bias"] = (channels_out,)
        shapes[f"lin{layer}.weight"] = (convolutions[-1][2],)
    return shapes


def random_weights(network: str, seed: int) -> dict[str, Tensor]:
    """Untrained weights of the right names and shapes, for trying the file format out, not for scores."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in _shapes(network).items():
        values = torch.randn(shape, generator=generator)
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
        weights[name] = values.abs() / fan_in if name.startswith("lin") else values * math.sqrt(2 / max(fan_in, 1))
    return weights
