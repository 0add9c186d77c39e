"""Sentences become edits, by a tiny CLIP of the real architecture with weights made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from recon4d.core import InputError
from recon4d.editors import ByBones, EditStack, Lock, NamePart, Recolor, Transform, evaluate
from recon4d.editors.text_guided import _Clip, _requests, suggest_edit
from tests.editors.scenes import CAMERAS, scene

transformers = pytest.importorskip("transformers")
SCENE = scene(300)


def save_clip(folder: Path) -> Path:
    """A CLIP with random weights, and a tokenizer that knows letters."""
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True)
    letters = [chr(i) for i in range(ord("!"), ord("~") + 1)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"})
    )
    text = {
        "vocab_size": len(pieces), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 77, "bos_token_id": len(pieces) - 2,
        "eos_token_id": len(pieces) - 1, "pad_token_id": len(pieces) - 1,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.xavier_normal_(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return save_clip(tmp_path_factory.mktemp("weights") / "clip")


def test_texts_and_pictures_are_unit_vectors_that_differ(clip: Path):
    network = _Clip(clip)
    texts = network.texts(["make it red", "make it red", "remove the cat"])
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(texts[0], texts[1])
    assert float((texts[0] - texts[2]).norm()) > 0.05
    pictures = network.images(torch.stack([torch.zeros(40, 40, 3), torch.ones(40, 40, 3)]))
    assert float((pictures[0] - pictures[1]).norm()) > 0.05


@pytest.mark.parametrize(
    ("text", "request_name", "kind"),
    [("paint it blue", "color blue", Recolor), ("make it larger", "larger", Transform)],
)
def test_a_known_wording_becomes_its_edit_and_the_edit_can_be_made(clip: Path, text, request_name, kind):
    stack = EditStack().add(NamePart(part="head", select=ByBones("animal", (4, 8, 16))), Lock(layers=("floor",)))
    view = evaluate(SCENE, stack)
    found = suggest_edit(text, view, CAMERAS[0], 0.5, clip)
    assert found.request == request_name
    assert isinstance(found.edit, kind)
    assert found.edit.name == text
    assert found.target in {"animal", "ball", "head"}
    assert found.request_margin >= 0
    assert found.target_margin >= 0
    edited = evaluate(SCENE, stack.add(found.edit))
    assert torch.equal(
        edited.layer("floor").field.canonical.sh, SCENE.layer("floor").field.canonical.sh
    )  # locked layers are no targets
    assert suggest_edit(text, view, CAMERAS[0], 0.5, clip) == found


def test_the_target_is_the_one_whose_picture_is_nearest(clip: Path):
    view = evaluate(SCENE, EditStack())
    network = _Clip(clip)
    names = {suggest_edit(text, view, CAMERAS[0], 0.5, clip).target for text in ("a", "remove the cat", "zzzz q!")}
    assert names <= {"animal", "ball", "floor"}
    # Every known wording is nearest to itself.
    requests = _requests()
    wordings = [w for of in requests.values() for w in of]
    vectors = network.texts(wordings)
    assert torch.equal((vectors @ vectors.T).argmax(1), torch.arange(len(wordings)))


def test_wrong_weights_and_texts_are_refused(clip: Path, tmp_path: Path):
    view = evaluate(SCENE, EditStack())
    with pytest.raises(InputError, match="1 to 400 characters"):
        suggest_edit("  ", view, CAMERAS[0], 0.5, clip)
    with pytest.raises(InputError, match=r"config\.json"):
        suggest_edit("make it red", view, CAMERAS[0], 0.5, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="model_type clip"):
        suggest_edit("make it red", view, CAMERAS[0], 0.5, tmp_path)
    (tmp_path / "config.json").write_text((clip / "config.json").read_text())
    with pytest.raises(InputError, match="weights of a CLIP"):
        suggest_edit("make it red", view, CAMERAS[0], 0.5, tmp_path)
    locked = evaluate(SCENE, EditStack().add(Lock(layers=("animal", "ball", "floor"))))
    with pytest.raises(InputError, match="not locked"):
        suggest_edit("make it red", locked, CAMERAS[0], 0.5, clip)
