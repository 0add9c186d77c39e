"""LPIPS from a weights file: the network against one built from torch.nn, and the file's errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from recon4d.core import InputError
from recon4d.evaluate.lpips import ENVIRONMENT_VARIABLE, Lpips, random_weights

# Layer lists as torchvision numbers them: channels of a 3x3 (or first, larger) convolution, "P" for pooling.
ALEX = nn.Sequential(
    nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
    nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
    nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
)  # fmt: skip
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}


def sequential(network: str) -> nn.Sequential:
    if network == "alex":
        return ALEX
    layers: list[nn.Module] = []
    channels = 3
    for step in (64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512):
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
        channels = step
    return nn.Sequential(*layers)


def straightforward(network: str, weights: dict[str, torch.Tensor], first: np.ndarray, second: np.ndarray) -> float:
    """The paper's formula, layer by layer, on torch.nn modules."""
    layers = sequential(network)
    layers.load_state_dict({k.removeprefix("features."): v for k, v in weights.items() if k.startswith("features.")})
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = (((torch.from_numpy(im) * 2 - 1 - shift) / scale).permute(2, 0, 1)[None].float() for im in (first, second))
    total = 0.0
    with torch.no_grad():
        for index, layer in enumerate(layers):
            x, y = layer(x), layer(y)
            if index in TAPS[network]:
                difference = nn.functional.normalize(x, dim=1) - nn.functional.normalize(y, dim=1)
                linear = weights[f"lin{TAPS[network].index(index)}.weight"].reshape(1, -1, 1, 1)
                total += float(nn.functional.conv2d(difference**2, linear).mean())
    return total


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((64, 72, 3)).astype(np.float32), rng.random((64, 72, 3)).astype(np.float32)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_network_of_the_file_is_the_papers(tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(network, seed=3)
    stored = {k: v.reshape(1, -1, 1, 1) if k.startswith("lin") else v for k, v in weights.items()}
    save_file(stored, tmp_path / "weights.safetensors")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "weights.safetensors"))
    lpips = Lpips.from_environment()
    assert lpips is not None
    assert lpips.network == network
    first, second = images()
    expected = straightforward(network, weights, first, second)
    assert expected > 1e-3
    assert lpips(first, second) == pytest.approx(expected, rel=1e-4)
    assert lpips(first, second) == pytest.approx(lpips(second, first), rel=1e-6)
    assert lpips(first, first) == 0


def test_without_the_variable_there_is_no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    assert Lpips.from_environment() is None


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="expected a readable safetensors file"):
        Lpips.load(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(InputError, match="expected a readable safetensors file"):
        Lpips.load(path)
    weights = random_weights("alex", 0)
    save_file({k: v for k, v in weights.items() if k != "lin2.weight"}, path)
    with pytest.raises(InputError, match=r"lin2\.weight: expected a finite tensor \[384\]"):
        Lpips.load(path)
    save_file(weights | {"features.3.bias": torch.full((192,), torch.nan)}, path)
    with pytest.raises(InputError, match=r"features\.3\.bias"):
        Lpips.load(path)


def test_small_images_are_refused() -> None:
    small = np.zeros((40, 80, 3), dtype=np.float32)
    with pytest.raises(InputError, match="at least 63 pixels"):
        Lpips("alex", random_weights("alex", 0))(small, small)
