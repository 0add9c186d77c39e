"""Learned models' weights: found, checked, loaded; everything that can be missing or wrong ends in one clear line."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recon4d.core import InputError
from recon4d.data.learned import ADAPTERS, available, open_weights, why_not
from recon4d.data.learned.weights import load_model, parse_spec
from tests.data.tiny_models import save_depth_anything


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_anything(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something wants to use the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refusal(spec: str, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        load_model(open_weights(spec, **options), "cpu")  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


def assert_has_the_parameters(model: torch.nn.Module, path: Path) -> None:
    """All of them, though transformers has given those of the backbone other names than its files have."""
    saved, loaded = load_file(path), model.state_dict()
    assert sorted(float(tensor.double().sum()) for tensor in saved.values()) == sorted(
        float(tensor.double().sum()) for tensor in loaded.values()
    )
    same = [name for name in saved if name in loaded and loaded[name].equal(saved[name])]
    assert {"head.conv1.weight", "neck.fusion_stage.layers.0.projection.weight"} <= set(same)


def test_a_model_loads_without_network_and_is_ready(saved: Path, no_network: None):
    weights = open_weights(f"depth-anything:{saved}")
    model = load_model(weights, "cpu")
    assert type(model).__name__ == "DepthAnythingForDepthEstimation"
    assert not model.training
    assert_has_the_parameters(model, saved / "model.safetensors")
    assert why_not(f"depth-anything:{saved}") is None


def test_an_open_folder_stays_open(saved: Path):
    weights = open_weights(f"depth-anything:{saved}")
    assert open_weights(weights, makes="depth") is weights


def test_the_digest_is_of_the_content(folder: Path, saved: Path):
    spec = f"depth-anything:{folder}"
    before = open_weights(spec).digest
    assert before == open_weights(f"depth-anything:{saved}").digest
    (folder / "README.md").write_text("says nothing about the weights")
    assert open_weights(spec).digest == before
    tensors = load_file(folder / "model.safetensors")
    tensors["head.conv1.bias"] += 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    changed = open_weights(spec).digest
    assert changed != before
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "resample": 2}))
    assert open_weights(spec).digest not in (before, changed)


def test_weights_in_several_files(folder: Path, saved: Path):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = [f"model-0000{k + 1}-of-00002.safetensors" for k in (0, 1)]
    placed = {name: halves[k % 2] for k, name in enumerate(sorted(tensors))}
    for half in halves:
        save_file({name: tensors[name] for name in tensors if placed[name] == half}, folder / half, {"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model = load_model(open_weights(f"depth-anything:{folder}"), "cpu")
    assert_has_the_parameters(model, saved / "model.safetensors")
    (folder / halves[1]).unlink()
    assert halves[1] in refusal(f"depth-anything:{folder}")


@pytest.mark.parametrize("spec", ["sam2", "sam2:", "sam9:folder", ":folder", ""])
def test_a_specification_that_is_none(spec: str):
    with pytest.raises(InputError, match=r"expected sam2:FOLDER or depth-anything:FOLDER"):
        parse_spec(spec)


def test_a_folder_name_may_hold_a_colon():
    assert parse_spec("dpt:C:/weights/dpt") == (ADAPTERS["dpt"], "C:/weights/dpt")


@pytest.mark.parametrize("download", [False, True])
def test_a_missing_folder_names_it_and_says_how_to_get_it(tmp_path: Path, no_network: None, download: bool):
    missing = tmp_path / "nowhere"
    if download:
        (tmp_path / "nowhere").write_text("a file is no folder, and nothing to fetch either")
    text = refusal(f"sam2:{missing}", download=download)
    assert str(missing) in text
    assert f"hf download facebook/sam2.1-hiera-tiny --local-dir {missing}" in text
    assert text == why_not(f"sam2:{missing}")


def test_the_network_is_asked_only_on_demand(saved: Path, monkeypatch: pytest.MonkeyPatch):
    import transformers.utils.hub

    asked = []

    def cached_file(repository: str, name: str) -> str:
        asked.append((repository, name))
        if not (saved / name).is_file():
            raise OSError(f"{repository} does not have {name}")
        return str(saved / name)

    monkeypatch.setattr(transformers.utils.hub, "cached_file", cached_file)
    refusal("depth-anything:somebody/tiny")
    assert asked == []
    weights = open_weights("depth-anything:somebody/tiny", download=True)
    assert weights.folder == saved
    assert weights.digest == open_weights(f"depth-anything:{saved}").digest
    assert {name for _, name in asked} >= {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert {repository for repository, _ in asked} == {"somebody/tiny"}
    asked.clear()
    assert "model_type sam2_video" in refusal("sam2:somebody/tiny", download=True)
    assert asked == [("somebody/tiny", "config.json")]


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch):
    import transformers.utils.hub

    def cached_file(repository: str, name: str) -> str:
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(transformers.utils.hub, "cached_file", cached_file)
    assert "We couldn't connect to the hub" in refusal("sam2:somebody/tiny", download=True)


def test_another_architecture(saved: Path):
    text = refusal(f"zoedepth:{saved}")
    assert "expected model_type zoedepth" in text
    assert f"say depth-anything:{saved}" in text


def test_a_model_for_something_else(saved: Path):
    with pytest.raises(InputError, match=r"expected a model that makes masks, got depth-anything\. Fix: use sam2$"):
        open_weights(f"depth-anything:{saved}", makes="masks")


def test_pickles_are_not_read(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "a pickle, which is never read" in refusal(f"depth-anything:{folder}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "expected config.json beside the weights"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "expected model.safetensors, got no such file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" * 100), "weights that load as DepthAny"),
    ],
)
def test_spoiled_folders(folder: Path, spoil, said: str):
    spoil(folder)
    assert said in refusal(f"depth-anything:{folder}")


def test_missing_parameters_are_not_made_up(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    del tensors["head.conv2.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert "1 missing or of another shape (head.conv2.weight)" in refusal(f"depth-anything:{folder}")


def test_parameters_of_another_shape(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "fusion_hidden_size": 12}))
    assert "fetch the weights anew" in refusal(f"depth-anything:{folder}")


def test_without_transformers(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    text = refusal(f"depth-anything:{saved}")
    assert "pip install 'recon4d[learned]'" in text
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [one.usable for one in available()] == [False] * len(ADAPTERS)
    assert all("pip install 'recon4d[learned]'" in one.reason for one in available())


def test_a_transformers_that_is_too_old(saved: Path, monkeypatch: pytest.MonkeyPatch):
    import transformers

    monkeypatch.setitem(vars(transformers), "DepthAnythingForDepthEstimation", None)
    assert "pip install --upgrade transformers" in refusal(f"depth-anything:{saved}")


def test_what_is_available():
    offered = available()
    assert [one.adapter.name for one in offered] == sorted(ADAPTERS)
    assert all(one.usable for one in offered)
    assert {one.adapter.makes for one in offered} == {"masks", "depth"}


def test_a_device_that_is_not_there(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="expected a CUDA device"):
        load_model(open_weights(f"depth-anything:{saved}"), "cuda")
