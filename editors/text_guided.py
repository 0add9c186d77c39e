"""From a sentence to an edit, by a vision-language model whose weights the user has: "paint the cat blue".

The model is a CLIP, which lays texts and pictures side by side in one space.  What to do is the known request whose
wording is nearest to the sentence; to what, is the layer or part whose picture, rendered alone, is nearest to it.  What
comes out is an edit like any other, for the stack; nothing is applied here.  Never required, and nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, InputError
from recon4d.data.learned.weights import require_transformers
from recon4d.editors.edits import Delete, Edit, Grade, Hide, Opacity, Recolor, RemoveObject, Transform
from recon4d.editors.selections import InLayers, Part, Selection
from recon4d.editors.state import State
from recon4d.editors.view import SceneView
from recon4d.render import rasterize
from recon4d.scene import Layer

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's authors
_MAX_TEXT = 400
_SIDE = 336
_GREY = 0.5
_COLORS = {
    "red": (0.85, 0.1, 0.1), "orange": (0.95, 0.5, 0.1), "yellow": (0.95, 0.85, 0.15), "green": (0.15, 0.65, 0.2),
    "blue": (0.15, 0.3, 0.85), "purple": (0.5, 0.2, 0.7), "pink": (0.95, 0.5, 0.7), "brown": (0.45, 0.28, 0.15),
    "black": (0.06, 0.06, 0.06), "white": (0.95, 0.95, 0.95), "grey": (0.5, 0.5, 0.5), "golden": (0.85, 0.65, 0.2),
}  # fmt: skip


@dataclass(frozen=True)
class Suggestion:
    """What a sentence was taken for.

    Attributes:
        edit: the edit.
        request: the known request that is nearest to the sentence.
        target: name of the layer or part.
        request_margin: by how much the request is nearer than the next, in cosine.
        target_margin: by how much the target is nearer than the next; 0 where there is no other.
    """

    edit: Edit
    request: str
    target: str
    request_margin: float
    target_margin: float


def suggest_edit(text: str, view: SceneView, camera: Camera, time: float | int, model: str | Path) -> Suggestion:
    """The edit that a sentence asks for.

    Args:
        text: what is wanted, in plain words.
        view: the scene as it is now.
        camera: from where the layers are looked at.
        time: at which moment, seconds.
        model: folder of a CLIP's weights: config.json, model.safetensors and its tokenizer.

    Raises:
        InputError: no text, nothing to edit, or weights that cannot be used.
    """
    if not 1 <= len(text.strip()) <= _MAX_TEXT:
        raise InputError("text", expected=f"1 to {_MAX_TEXT} characters", got=f"{len(text)}", fix="say what to do")
    targets = _targets(view)
    if not targets:
        raise InputError("scene", expected="a layer that is not locked", got="none", fix="unlock a layer")
    network = _Clip(Path(model))
    wanted = network.texts([text])[0]
    requests = _requests()
    wordings = [wording for wordings in requests.values() for wording in wordings]
    owners = [name for name, of in requests.items() for _ in of]
    request, request_margin = _best(owners, network.texts(wordings) @ wanted)
    pictures = torch.stack([_picture(view, layer, rows, camera, float(time)) for layer, rows, _ in targets.values()])
    target, target_margin = _best(list(targets), network.images(pictures) @ wanted)
    layer, _, selection = targets[target]
    return Suggestion(_edit(request, selection, layer, view, text), request, target, request_margin, target_margin)


def _requests() -> dict[str, list[str]]:
    """Known requests, and how people word them."""
    known = {
        "remove": ["remove it", "delete this thing", "take it away"],
        "hide": ["hide it", "make it invisible"],
        "larger": ["make it larger", "enlarge it", "make it bigger"],
        "smaller": ["make it smaller", "shrink it"],
        "brighter": ["make it brighter", "lighten it"],
        "darker": ["make it darker", "dim it"],
        "colourless": ["make it black and white", "take its colours away"],
        "vivid": ["make its colours more vivid", "more saturated"],
        "transparent": ["make it transparent", "fade it"],
        "turn": ["turn it around", "rotate it"],
        "raise": ["lift it up", "raise it into the air"],
    }
    for color in _COLORS:
        known[f"color {color}"] = [f"make it {color}", f"paint it {color}", f"turn its colour to {color}"]
    return known


def _edit(request: str, select: Selection, layer: Layer, view: SceneView, text: str) -> Edit:
    name = " ".join(text.split())[:100]
    if request.startswith("color "):
        return Recolor(select=select, color=_COLORS[request.removeprefix("color ")], name=name)
    if request == "remove":
        ground = [other for other in view.layers if other.kind == "background" and other.name != layer.name]
        if ground and layer.kind == "object":
            return RemoveObject(select=select, background=ground[0].name, name=name)
        return Delete(select=select, name=name)
    if request == "hide":
        if isinstance(select, InLayers):
            return Hide(layers=select.names, name=name)
        return Opacity(select=select, factor=0.0, name=name)
    size = float((layer.field.canonical.centers.amax(0) - layer.field.canonical.centers.amin(0)).max())
    edits: dict[str, Edit] = {
        "larger": Transform(select=select, scale=1.5, name=name),
        "smaller": Transform(select=select, scale=0.67, name=name),
        "brighter": Grade(select=select, exposure=0.6, name=name),
        "darker": Grade(select=select, exposure=-0.8, name=name),
        "colourless": Grade(select=select, saturation=0.0, name=name),
        "vivid": Grade(select=select, saturation=1.6, name=name),
        "transparent": Opacity(select=select, factor=0.35, name=name),
        "turn": Transform(select=select, rotate=(0.0, 0.0, 180.0), name=name),
        "raise": Transform(select=select, frame="world", translate=(0.0, 0.0, 0.5 * size), name=name),
    }
    return edits[request]


def _targets(view: SceneView) -> dict[str, tuple[Layer, Tensor, Selection]]:
    """Layers and parts by name: where they are, which rows, and the selection of them."""
    free = [layer for layer in view.layers if layer.name not in view.locked and len(layer.field)]
    found: dict[str, tuple[Layer, Tensor, Selection]] = {}
    for layer in free:
        found[layer.name] = (layer, torch.arange(len(layer.field)), InLayers((layer.name,)))
    state = State(view, tuple(view.layers), locked=view.locked, parts=view.parts)
    for name in view.parts:
        masks = {key: mask for key, mask in Part(name).masks(state).items() if bool(mask.any())}
        # A part of several layers is looked at where it has most surfels.
        if masks and name not in found:
            most = max(masks, key=lambda key: int(masks[key].sum()))
            found[name] = (view.layer(most), torch.nonzero(masks[most])[:, 0], Part(name))
    return found


def _picture(view: SceneView, layer: Layer, rows: Tensor, camera: Camera, time: float) -> Float[Tensor, "h w 3"]:
    """Some surfels alone before grey, cut out as a square around them."""
    with torch.no_grad():
        surfels = layer.field.select(rows).appearance_at(time)
        pixels, depths = camera.project(surfels.centers)
        seen = pixels[depths > 0]
        if not len(seen):
            return torch.full((_SIDE, _SIDE, 3), _GREY)
        low, high = seen.quantile(0.01, 0), seen.quantile(0.99, 0)
        middle, half = (low + high) / 2, float(((high - low).max() / 2 * 1.2).clamp_min(1.0))
        zoom = _SIDE / (2 * half)
        K = camera.K.clone()
        K[:2] = K[:2] * zoom
        K[:2, 2] += _SIDE / 2 - middle * zoom
        close = Camera(K, camera.cam_from_world, _SIDE, _SIDE)
        if surfels.sh is None and (surfels.features is None or surfels.features.shape[1] != 3):
            surfels = surfels.replace(features=surfels.centers.new_full((len(surfels), 3), 0.8))
        drawn = rasterize(surfels, close, background=surfels.centers.new_full((3,), _GREY))
    return drawn.color.clamp(0, 1)


def _best(names: Sequence[str], scores: Tensor) -> tuple[str, float]:
    """The name with the highest score, and by how much it leads the next other name."""
    top = names[int(scores.argmax())]
    others = [float(score) for name, score in zip(names, scores, strict=True) if name != top]
    return top, float(scores.max()) - max(others) if others else 0.0


class _Clip:
    """A CLIP from a folder: unit vectors of texts and pictures."""

    def __init__(self, folder: Path) -> None:
        transformers = require_transformers("text-guided edits")
        config = _config(folder)
        try:
            options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            self._model = transformers.CLIPModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **options
            ).eval()
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        except Exception as error:  # Whatever foreign code says about a user's file.
            said = " ".join(str(error).split())[:160] or type(error).__name__
            fix = "fetch the weights anew, such as openai/clip-vit-base-patch32"
            raise InputError(str(folder), expected="weights of a CLIP", got=said, fix=fix) from None
        vision = config.get("vision_config")
        self._side = int(vision.get("image_size", 224)) if isinstance(vision, dict) else 224

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts."""
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            return _unit(self._model.get_text_features(**tokens))

    def images(self, images: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n d"]:
        """Unit vectors of pictures, display sRGB in 0 to 1."""
        size = (self._side, self._side)
        scaled = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2).float(), size, mode="area")
        mean, std = (scaled.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        with torch.no_grad():
            return _unit(self._model.get_image_features(pixel_values=(scaled - mean) / std))


def _unit(features: Any) -> Tensor:
    # Some versions of transformers answer with a record, some with the tensor.
    tensor = features if isinstance(features, Tensor) else features.pooler_output
    return torch.nn.functional.normalize(tensor, dim=-1)


def _config(folder: Path) -> dict[str, Any]:
    fix = "give a folder such as that of openai/clip-vit-base-patch32"
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        raise InputError(str(folder), expected="a folder with config.json of a CLIP", got="none", fix=fix) from None
    if not isinstance(config, dict) or config.get("model_type") != "clip":
        got = repr(config.get("model_type")) if isinstance(config, dict) else "no object"
        raise InputError(f"{folder / 'config.json'}", expected="model_type clip", got=got, fix=fix)
    return config
