"""Weights in a folder of the user's: found, checked, identified and loaded, by way of the transformers package.

Only `config.json`, the processor's JSON and `*.safetensors` are ever read: no pickles, and no code that comes with
weights.  Nothing is downloaded unless `download=True` is said.  Does NOT know what a model is good for.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from recon4d.core import InputError
from recon4d.data.files import read_json
from recon4d.data.motion.stage import file_digest

Makes = Literal["masks", "depth"]
DeviceChoice = Literal["auto", "cpu", "cuda"]

PROCESSOR_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_INSTALL = "pip install 'recon4d[learned]', or leave the learned model out"


@dataclass(frozen=True)
class Adapter:
    """One kind of model that can be used.

    Attributes:
        name: what stands before the colon of a specification.
        makes: what comes out.
        model_type: `model_type` in its config.json.
        model_class: its class in transformers.
        example: a public repository with such weights, and their licence.
    """

    name: str
    makes: Makes
    model_type: str
    model_class: str
    example: str
    licence: str


ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        Adapter("sam2", "masks", "sam2_video", "Sam2VideoModel", "facebook/sam2.1-hiera-tiny", "Apache-2.0"),
        Adapter(
            "depth-anything", "depth", "depth_anything", "DepthAnythingForDepthEstimation",
            "depth-anything/Depth-Anything-V2-Small-hf", "Apache-2.0",
        ),
        Adapter("dpt", "depth", "dpt", "DPTForDepthEstimation", "Intel/dpt-hybrid-midas", "Apache-2.0"),
        Adapter("zoedepth", "depth", "zoedepth", "ZoeDepthForDepthEstimation", "Intel/zoedepth-nyu-kitti", "MIT"),
    )
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Weights:
    """A folder of weights that holds what its adapter needs.

    Attributes:
        adapter: what kind of model it is.
        folder: where the files lie.
        config: the content of config.json.
        digest: SHA-256 of the names and contents of all files that count.
    """

    adapter: Adapter
    folder: Path
    config: dict[str, object] = field(repr=False)
    digest: str


def open_weights(spec: str | Weights, *, makes: Makes | None = None, download: bool = False) -> Weights:
    """Find and check the weights that a specification names; the model itself is loaded later.

    Args:
        spec: ADAPTER:FOLDER, for example `sam2:weights/sam2.1-hiera-tiny`; weights that are open already stay so.
        makes: what they must be good for.
        download: where no such folder exists, take FOLDER for a repository's name and fetch it.

    Raises:
        InputError: an unknown adapter, one that makes something else, no such folder, files missing in it, weights of
            another architecture, or transformers not installed.
    """
    if isinstance(spec, Weights):
        _refuse_purpose(spec.adapter, makes)
        return spec
    adapter, source = parse_spec(spec)
    _refuse_purpose(adapter, makes)
    require_transformers(adapter.name)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if not download or folder.exists():
            raise _no_folder(adapter, source)
        folder = _download(adapter, source)
    config = _checked_config(adapter, folder)
    return Weights(adapter, folder, config, _digest(folder, _weight_files(adapter, folder)))


def parse_spec(spec: str) -> tuple[Adapter, str]:
    """The adapter and the folder of ADAPTER:FOLDER.

    Raises:
        InputError: no colon, an unknown adapter, or no folder.
    """
    name, colon, source = spec.partition(":")
    if name not in ADAPTERS or not colon or not source.strip():
        raise InputError(
            "learned model",
            expected=" or ".join(f"{adapter}:FOLDER" for adapter in ADAPTERS),
            got=repr(spec),
            fix="name the adapter, a colon, and the folder of its weights",
        )
    return ADAPTERS[name], source.strip()


def require_transformers(what: str) -> Any:
    """The transformers package.

    Raises:
        InputError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError(
            what, expected="the transformers package", got=_one_line(error, "it is not installed"), fix=_INSTALL
        ) from None


def choose_device(device: DeviceChoice) -> torch.device:
    """The device to run on; auto takes CUDA where there is one.

    Raises:
        InputError: CUDA asked for where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device", expected="a CUDA device", got="none that torch can use", fix="use --device cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(weights: Weights, device: DeviceChoice = "auto") -> Any:
    """The model in float32, ready to be asked, every parameter of it from the files.

    Raises:
        InputError: files that cannot be read, or that lack parameters or have them in other shapes.
    """
    transformers = require_transformers(weights.adapter.name)
    target = choose_device(device)
    kind = getattr(transformers, weights.adapter.model_class, None)
    if kind is None:
        raise InputError(
            weights.adapter.name,
            expected=f"a transformers package that knows {weights.adapter.model_class}",
            got=f"version {transformers.__version__}",
            fix="pip install --upgrade transformers",
        )
    try:
        with _quiet(transformers):
            model, report = kind.from_pretrained(
                weights.folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # Whatever foreign code says about a user's file.
        raise InputError(
            str(weights.folder),
            expected=f"weights that load as {weights.adapter.model_class}",
            got=_one_line(error),
            fix="fetch the weights anew",
        ) from None
    absent = sorted(str(key) for name in ("missing_keys", "mismatched_keys") for key in report.get(name, ()))
    if absent:
        # transformers fills them with random numbers and goes on.
        raise InputError(
            str(weights.folder),
            expected=f"all parameters of {weights.adapter.model_class}",
            got=f"{len(absent)} missing or of another shape ({absent[0]})",
            fix="fetch the weights anew",
        )
    return model.to(target).eval()


def _refuse_purpose(adapter: Adapter, makes: Makes | None) -> None:
    if makes is not None and adapter.makes != makes:
        fitting = " or ".join(name for name, other in ADAPTERS.items() if other.makes == makes)
        raise InputError(makes, expected=f"a model that makes {makes}", got=adapter.name, fix=f"use {fitting}")


def _no_folder(adapter: Adapter, source: str) -> InputError:
    fetch = f"hf download {adapter.example} --local-dir {source}"
    return InputError(
        f"{adapter.name} weights",
        expected="a folder with config.json and model.safetensors",
        got=f"{source}, which is {'a file' if Path(source).expanduser().exists() else 'not there'}",
        fix=f"{fetch}, or leave the learned model out",
    )


def _checked_config(adapter: Adapter, folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            str(folder),
            expected="config.json beside the weights",
            got="none",
            fix=f"fetch {adapter.example} as a whole",
        )
    config = read_json(path)
    if config.get("model_type") != adapter.model_type:
        fix = f"give a folder such as that of {adapter.example}"
        fitting = [name for name, other in ADAPTERS.items() if other.model_type == config.get("model_type")]
        if fitting:
            fix = f"say {fitting[0]}:{folder}"
        raise InputError(
            str(path),
            expected=f"model_type {adapter.model_type}, for {adapter.name}",
            got=repr(config.get("model_type")),
            fix=fix,
        )
    return config


def _weight_files(adapter: Adapter, folder: Path) -> list[str]:
    """Names of the files with parameters: one, or those of an index."""
    if (folder / _WEIGHTS).is_file():
        return [_WEIGHTS]
    names: list[str] = []
    if (folder / _INDEX).is_file():
        mapping = read_json(folder / _INDEX).get("weight_map")
        names = sorted({str(name) for name in mapping.values()}) if isinstance(mapping, dict) else []
        names = [name for name in names if Path(name).name == name and name.endswith(".safetensors")]
    missing = [name for name in names or [_WEIGHTS] if not (folder / name).is_file()]
    if missing:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise InputError(
            str(folder),
            expected=f"{missing[0]}",
            got="a pickle, which is never read" if pickled else "no such file",
            fix=f"fetch weights in the safetensors format, for example {adapter.example}",
        )
    return [_INDEX, *names]


def _digest(folder: Path, weight_files: list[str]) -> str:
    digest = hashlib.sha256()
    for name in ("config.json", *PROCESSOR_FILES, *weight_files):
        if (folder / name).is_file():
            digest.update(f"{name}:{file_digest(folder / name)}\n".encode())
    return digest.hexdigest()


def _download(adapter: Adapter, repository: str) -> Path:
    """Fetch a repository's files into transformers' own cache, and give their folder."""
    hub = importlib.import_module("transformers.utils.hub")

    def fetch(name: str, *, needed: bool) -> Path | None:
        try:
            return Path(hub.cached_file(repository, name))
        except OSError:
            if needed:
                raise
            return None

    try:
        config = fetch("config.json", needed=True)
        assert config is not None
        # Another architecture is refused before gigabytes are fetched.
        _checked_config(adapter, config.parent)
        for name in PROCESSOR_FILES:
            fetch(name, needed=False)
        if fetch(_WEIGHTS, needed=False) is None:
            index = fetch(_INDEX, needed=True)
            assert index is not None
            mapping = read_json(index).get("weight_map")
            for name in sorted({str(name) for name in mapping.values()}) if isinstance(mapping, dict) else []:
                fetch(name, needed=True)
    except InputError:
        raise
    except Exception as error:  # Whatever foreign code says about the network.
        raise InputError(
            f"{adapter.name} weights",
            expected=f"a repository that can be fetched, such as {adapter.example}",
            got=f"{repository}: {_one_line(error)}",
            fix="check the name and the network, or give a folder",
        ) from None
    return config.parent


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without transformers' own progress bars and warnings: recon4d reports in its own way."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _one_line(error: Exception, nothing: str = "an error") -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "transformers":
        return nothing
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
