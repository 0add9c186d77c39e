"""Laws of the edit stack, for random edits."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.editors import (
    ByBones,
    Delete,
    Edit,
    EditStack,
    Ids,
    Insert,
    NamePart,
    Opacity,
    Paint,
    PoseKey,
    Recolor,
    SceneView,
    Selection,
    Span,
    Transform,
    evaluate,
    resolve,
)
from recon4d.editors.document import script_from_bytes, stack_to_bytes
from recon4d.editors.evaluate import evaluate_state
from recon4d.editors.state import State
from recon4d.scene import Scene, content_hash, load, save
from tests.editors import strategies
from tests.editors.scenes import scene

SCENE = scene(150)
HEAD = NamePart(part="head", select=ByBones("animal", (4, 8, 16)), id="head")  # for selections of a part
MOMENTS = [0.0, 0.3, 0.5, 0.85]


def laws(examples: int) -> settings:
    """Few examples, the same ones every time; shrinking them would take minutes."""
    phases = (Phase.explicit, Phase.generate)
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=examples, deadline=None, derandomize=True, phases=phases, suppress_health_check=slow, database=None
    )


def fresh() -> Scene:
    """The scene as another object, so that nothing is found in a cache."""
    return replace(SCENE)


def digest(view: SceneView) -> str:
    """Hash of all that a view shows."""
    whole = hashlib.sha256()
    whole.update(view.frame_times.numpy().tobytes())
    for layer in view.layers:
        whole.update(f"{layer.name} {layer.kind}".encode())
        whole.update(layer.field.ids.numpy().tobytes())
        for state in (layer.field.at_times(MOMENTS), layer.field.appearance_at_times(MOMENTS)):
            for name, tensor in sorted(state.tensors().items()):
                whole.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()


def seen(base: Scene, stack: EditStack) -> SceneView:
    """The view of a stack that may name files."""
    return evaluate(base, stack, folder=strategies.folder())


def evaluated(*edits: Edit) -> SceneView:
    """The view of some edits; examples where an edit cannot be made are no examples."""
    try:
        return seen(fresh(), EditStack().add(HEAD, *edits))
    except InputError as error:
        assume("edit" not in error.what)
        raise


@laws(10)
@given(st.lists(strategies.edits, max_size=2), strategies.edits)
def test_an_edit_added_and_removed_leaves_nothing(edits: list[Edit], more: Edit):
    before = evaluated(*edits)
    stack = EditStack().add(HEAD, *edits)
    longer = stack.add(more)
    evaluated(*edits, more)
    shared = fresh()
    seen(shared, longer)
    assert longer.remove(longer.edits[-1].id) == stack
    assert longer.enable(longer.edits[-1].id, False).enable(longer.edits[-1].id) == longer
    for left in (longer.remove(longer.edits[-1].id), longer.enable(longer.edits[-1].id, False)):
        assert digest(seen(shared, left)) == digest(before)
        assert digest(seen(fresh(), left)) == digest(before)


@laws(10)
@given(st.lists(strategies.edits, max_size=5))
def test_json_there_and_back_is_the_same(edits: list[Edit]):
    stack = EditStack().add(*edits)
    written = stack_to_bytes(stack)
    read = EditStack(script_from_bytes(written, "edits.json"))
    assert read == stack
    assert stack_to_bytes(read) == written


@laws(10)
@given(st.lists(strategies.edits, min_size=1, max_size=3))
def test_a_replay_gives_the_same_bytes(edits: list[Edit]):
    view = evaluated(*edits)
    written = stack_to_bytes(EditStack().add(HEAD, *edits))
    assert digest(seen(fresh(), EditStack(script_from_bytes(written, "edits.json")))) == digest(view)


def test_a_replay_in_another_process_gives_the_same_bytes(tmp_path: Path, repository: Path):
    head = ByBones("animal", (4, 8, 16))
    stack = EditStack().add(
        Transform(select=head, scale=1.5, soft=0.05),
        Recolor(select=Ids("ball", (0, 99)), color=(1, 0, 0), during=Span(0.2, 0.8, 0.1)),
        Transform(select=head, keys=(PoseKey(0.2), PoseKey(0.8, rotate=(0, 0, 50)))),
        Delete(select=Ids("animal", (10, 30))),
    )
    (tmp_path / "edits.json").write_bytes(stack_to_bytes(stack))
    code = (
        "import sys; from pathlib import Path; import tests.conftest\n"
        "from recon4d.editors import EditStack, evaluate\n"
        "from recon4d.editors.document import script_from_bytes\n"
        "from tests.editors.test_laws import SCENE, digest\n"
        "stack = EditStack(script_from_bytes(Path(sys.argv[1]).read_bytes(), 'x'))\n"
        "print(digest(evaluate(SCENE, stack)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "edits.json")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == digest(evaluate(fresh(), stack))


@laws(10)
@given(strategies.surfel_edits, strategies.surfel_edits, st.booleans())
def test_disjoint_edits_commute(first: Edit, second: Edit, same_layer: bool):
    if same_layer:
        left, right = Ids("animal", (0, 60)), Ids("animal", (61, 149))
    else:
        left, right = Ids("animal", (40, 120)), Ids("ball", (20, 200))
    first, second = replace(first, id="first", select=left), replace(second, id="second", select=right)
    one, other = evaluated(first, second), evaluated(second, first)
    assert [layer.name for layer in one.layers] == [layer.name for layer in other.layers]
    for a, b in zip(one.layers, other.layers, strict=True):
        assert torch.equal(a.field.ids, b.field.ids)
        states = a.field.appearance_at_times(MOMENTS).tensors(), b.field.appearance_at_times(MOMENTS).tensors()
        for name, tensor in states[0].items():
            # Sums over bones that stand in another order may be rounded otherwise.
            torch.testing.assert_close(tensor, states[1][name].expand_as(tensor), rtol=0, atol=2e-6)


def touched(edit: Edit) -> dict[str, torch.Tensor] | None:
    """Masks [N] of what an edit may change, by layer; None for all of the scene."""
    if isinstance(edit, Paint):
        names = edit.layers or tuple(layer.name for layer in SCENE.layers)
    elif hasattr(edit, "select"):
        return dict(resolve(edit.select, evaluate_state(fresh(), EditStack().add(HEAD))))
    else:
        names = tuple(getattr(edit, "layers", ())) or tuple(
            name for name in (getattr(edit, "layer", ""),) if any(x.name == name for x in SCENE.layers)
        )
        if not names and not isinstance(edit, Insert):
            return None
    return {name: torch.ones(len(SCENE.layer(name).field), dtype=torch.bool) for name in names}


def check_the_rest_stays(edit: Edit, view: SceneView) -> None:
    """Whatever an edit does not touch is the same to the bit at every moment."""
    masks = touched(edit)
    for layer in SCENE.layers:
        if masks is None:
            continue
        mask = masks.get(layer.name, torch.zeros(len(layer.field), dtype=torch.bool))
        kept = layer.field.ids[~mask]
        if not len(kept):
            continue
        after = view.layer(layer.name).field
        rows = torch.nonzero(torch.isin(after.ids, kept))[:, 0]
        assert torch.equal(after.ids[rows], kept)
        for moment in MOMENTS:
            old, new = layer.field.appearance_at(moment), after.appearance_at(moment)
            for name, tensor in old.tensors().items():
                assert torch.equal(new.tensors()[name][rows], tensor[~mask]), name


@laws(6)
@given(strategies.surfel_edits)
def test_what_is_not_selected_stays_as_it_is_to_the_bit(edit: Edit):
    check_the_rest_stays(edit, evaluated(edit))


def test_all_kinds_are_drawn():
    assert set(strategies.by_kind) == set(Edit.members)
    assert set(strategies.selections_by_kind) == set(Selection.members)


@pytest.mark.parametrize("kind", sorted(Edit.members))
def test_every_kind_of_edit_keeps_the_laws(kind: str):
    base, examples = digest(seen(fresh(), EditStack())), []

    @laws(2)
    @given(strategies.by_kind[kind])
    def keeps(edit: Edit) -> None:
        assert edit.kind == kind
        view = evaluated(edit)
        examples.append(edit)
        stack = EditStack().add(HEAD, edit)
        written = stack_to_bytes(stack)
        read = EditStack(script_from_bytes(written, "edits.json"))
        assert read == stack
        assert stack_to_bytes(read) == written
        shared = fresh()
        assert digest(seen(shared, read)) == digest(view)
        assert digest(seen(shared, stack.remove(stack.edits[-1].id))) == base
        check_the_rest_stays(edit, view)

    keeps()
    assert examples
    assert digest(seen(fresh(), EditStack())) == base


@pytest.mark.parametrize("kind", sorted(Selection.members))
def test_every_kind_of_selection_keeps_the_laws(kind: str):
    examples = []

    @laws(3)
    @given(strategies.selections_by_kind[kind])
    def keeps(selection: Selection) -> None:
        edit = Transform(select=selection, translate=(0.0, 0.1, 0.0))
        view = evaluated(edit)
        examples.append(selection)
        assert selection.kind == kind
        read = script_from_bytes(stack_to_bytes(EditStack().add(edit)), "edits.json")
        assert read[0].select == selection
        assert digest(seen(fresh(), EditStack().add(HEAD, *read))) == digest(view)
        check_the_rest_stays(edit, view)

    keeps()
    assert examples


@laws(10)
@given(st.lists(strategies.edits, min_size=1, max_size=4))
def test_the_base_in_memory_is_never_changed(edits: list[Edit]):
    before = digest(seen(fresh(), EditStack()))
    evaluated(*edits)
    assert digest(seen(fresh(), EditStack())) == before


def test_what_is_kept_dies_with_its_scene():
    base = fresh()
    evaluate(base, EditStack().add(Delete(select=Ids("animal", (0, 50)))))
    alive = weakref.ref(base)
    del base
    gc.collect()
    assert alive() is None


def test_the_base_on_disk_is_never_changed(tmp_path: Path):
    save(SCENE, tmp_path / "s.r4d")
    before = content_hash(tmp_path / "s.r4d")
    base = load(tmp_path / "s.r4d")
    evaluate(
        base, EditStack().add(Delete(select=Ids("animal", (0, 50))), Opacity(select=Ids("ball", (0, 9)), factor=0))
    )
    assert content_hash(tmp_path / "s.r4d") == before


@laws(6)
@given(
    st.sampled_from([(4, 8, 16), (8,), (2, 3, 4), (5, 6, 7), (1, 2, 9, 10, 17, 18), (12, 13, 14, 15)]),
    st.sampled_from([0.5, 1.5, 2.5]),
    strategies.vectors(90.0),
    st.booleans(),
)
def test_a_scaled_part_keeps_its_ratio_at_every_time(bones, scale, rotate, over_time: bool):
    part = ByBones("animal", bones, 0.3)
    during = Span(0.0, 1.0) if over_time else None
    view = evaluated(Transform(select=part, scale=scale, rotate=rotate, during=during))
    mask = resolve(part, State.of(SCENE))["animal"]
    for moment in torch.linspace(0, 1, 11).tolist():
        sizes = []
        for field in (SCENE.layers[0].field, view.layers[0].field):
            points = field.at(moment).centers[mask].double()
            sizes.append((points - points.mean(0)).norm(dim=-1).square().mean().sqrt())
        assert float(sizes[1] / sizes[0]) == pytest.approx(scale, rel=2e-3)
