"""What a replay gives on another processor: the same bytes for most edits, the same to rounding for others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from recon4d.editors import (
    Attach,
    BonePose,
    ByBones,
    Deform,
    Delete,
    Duplicate,
    Edit,
    EditStack,
    Freeze,
    Grade,
    HandlePose,
    Ids,
    InLayers,
    MergeLayers,
    Opacity,
    Paint,
    PoseBones,
    Recolor,
    Reverse,
    ScalePart,
    Separate,
    Speed,
    Stroke,
    Transform,
    View,
    evaluate,
)
from recon4d.scene import load, save
from tests.editors.scenes import CAMERAS, scene

HEAD, ANIMAL = ByBones("animal", (4, 8, 16)), InLayers(("animal",))
PULL = (HandlePose((0.65, 0.0, 1.0), 0.3, (0.0, 0.0, 0.1), (0.0, 20.0, 0.0)), HandlePose((-0.5, 0.0, 0.6), 0.3))
# docs/editing.md says of these that the bytes are the same ...
EXACT: dict[str, Edit] = {
    "transform": Transform(select=HEAD, scale=1.5, rotate=(0.0, 0.0, 30.0)),
    "soft": Transform(select=HEAD, scale=1.5, rotate=(0.0, 0.0, 30.0), soft=0.05),
    "world": Transform(select=ANIMAL, frame="world", rotate=(10.0, 20.0, 30.0)),
    "recolor": Recolor(select=HEAD, color=(0.2, 0.4, 0.6)),
    "grade": Grade(select=HEAD, exposure=0.3, hue=40.0),
    "opacity": Opacity(select=HEAD, factor=0.3),
    "pose": PoseBones(layer="animal", bones=(BonePose(4, rotate=(0.0, 0.0, 30.0), followers=(8,)),)),
    "delete": Delete(select=HEAD),
    "duplicate": Duplicate(select=Ids("animal", (10, 60))),
    "separate": Separate(select=HEAD, layer="head"),
    "merge": MergeLayers(layers=("ball", "animal")),
    "reverse": Reverse(),
    "speed": Speed(factor=0.5),
    "freeze": Freeze(time=0.5, layers=("animal",)),
}
# ... and of these that they are so to rounding.
ROUNDED: dict[str, Edit] = {
    "paint": Paint(
        view=View.of(CAMERAS[0], 0.5), strokes=(Stroke(((40.0, 40.0), (60.0, 45.0)), 12.0, (1.0, 0.0, 0.0)),)
    ),
    "scale_part": ScalePart(select=HEAD, factor=1.6),
    "deform": Deform(select=ANIMAL, handles=PULL),
    "attach": Attach(layer="ball", to="animal", bone=4),
    "stretch": Transform(select=HEAD, scale=(1.0, 2.0, 1.5)),
}


def results(folder: Path) -> dict[str, torch.Tensor]:
    """Arrays of the scene in a folder after each of the edits."""
    base, arrays = load(folder), {}
    for name, edit in {**EXACT, **ROUNDED}.items():
        for layer in evaluate(base, EditStack().add(edit)).layers:
            tensors = {**layer.field.canonical.tensors(), "ids": layer.field.ids, **layer.field.warp.tensors()}
            arrays |= {f"{name}/{layer.name}/{key}": tensor.clone().contiguous() for key, tensor in tensors.items()}
    return arrays


def test_another_processor_replays_the_same(tmp_path: Path, repository: Path):
    folder, file = tmp_path / "s.r4d", tmp_path / "there.safetensors"
    save(scene(150), folder)
    code = (
        "import sys; from pathlib import Path; from tests.editors.test_replay import write\n"
        "write(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    # torch's plain kernels, as on a processor without vector instructions.
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    command = [sys.executable, "-c", code, str(folder), str(file)]
    subprocess.run(command, cwd=repository, env=environment, check=True, timeout=300)
    here, there = results(folder), load_file(file)
    assert set(here) == set(there)
    for key, tensor in here.items():
        if key.split("/")[0] in EXACT:
            assert torch.equal(tensor.contiguous().view(-1).view(torch.uint8), there[key].view(-1).view(torch.uint8)), (
                key
            )
        else:
            # Of a quaternion and its negative, rounding may give either.
            same = tensor if "rotations" not in key else tensor * (tensor * there[key]).sum(-1, keepdim=True).sign()
            torch.testing.assert_close(same, there[key], rtol=1e-5, atol=1e-5)


def write(folder: Path, file: Path) -> None:
    """The results as a file."""
    save_file(results(folder), file)
