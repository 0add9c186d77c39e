"""The page on editing names every kind with JSON that can be read, and the schema agrees with the reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recon4d.core import SceneFormatError
from recon4d.editors import Edit, EditStack, Selection, json_schema
from recon4d.editors.document import script_from_bytes, stack_from_json, stack_to_bytes
from recon4d.editors.schema import descriptions, kinds_of, summary
from recon4d.editors.values import from_json, hints_of
from recon4d.scene.document import Node, parse

VIEW = (
    '{"time": 0.5, "width": 64, "height": 48, "fx": 60, "fy": 60, "cx": 32, "cy": 24,'
    ' "cam_from_world": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]]}'
)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs/editing.md").read_text()


def lines(page: str) -> list[str]:
    blocks = re.findall(r"^```jsonl\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return [line.replace("VIEW", VIEW) for block in blocks for line in block.splitlines()]


def test_every_kind_stands_on_the_page_with_its_json(page: str):
    kinds = set()
    for line in lines(page):
        kind = json.loads(line)["kind"]
        family = Selection if kind in Selection.members else Edit
        value = from_json(parse(line.encode(), "page"), family)
        assert value.kind == kind
        kinds.add(kind)
    assert kinds == set(Edit.members) | set(Selection.members)


def test_every_field_of_every_kind_is_described():
    for family in (Edit, Selection):
        for kind, member in kinds_of(family).items():
            assert summary(member), kind
            assert set(hints_of(member)) <= set(descriptions(member)), kind


def test_the_scripts_and_the_python_example_of_the_page_work(page: str, tmp_path: Path, monkeypatch):
    (script,) = re.findall(r"^```json\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    assert [edit.kind for edit in script_from_bytes(script.encode(), "page")] == ["name_part", "scale_part", "recolor"]
    (example,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "page", "exec"), {})
    edits = script_from_bytes((tmp_path / "ear.json").read_bytes(), "ear.json")
    assert [edit.id for edit in edits] == ["name_part-1", "scale_part-1", "recolor-1"]


def test_the_schema_names_every_kind_and_field():
    schema = json_schema()
    definitions = schema["$defs"]
    json.dumps(schema)
    for family in (Edit, Selection):
        assert len(definitions[family.__name__]["oneOf"]) == len(family.members)
        for kind, member in family.members.items():
            described = definitions[member.__name__]
            assert described["properties"]["kind"] == {"const": kind}
            assert set(described["properties"]) == {"kind", *hints_of(member)}
            assert described["additionalProperties"] is False


ALL = '"select": {"kind": "all"}'
BAD = {
    "[1]": "[0]: expected an object",
    '[{"kind": "delete"}]': "[0]: expected the keys select, got no 'select'",
    '[{"kind": "erase"}]': "[0].kind: expected one of attach, deform, delete",
    '[{"id": "a"}]': "[0] (a): expected an object with a kind",
    f'[{{"kind": "delete", {ALL}, "extra": 1}}]': "[0]: expected the keys id, name",
    f'[{{"kind": "delete", "id": "a b", {ALL}}}]': "[0] (a b).id: expected up to",
    f'[{{"kind": "delete", "enabled": 1, {ALL}}}]': "[0].enabled: expected true or",
    '[{"kind": "delete", "select": {"kind": "ids", "layer": "x", "ranges": [3, 1]}}]': "[0].select.ranges: expected",
    '[{"kind": "delete", "select": {"kind": "sphere", "center": [0, 0], "radius": 1}}]': "[0].select.center: expected",
    '[{"kind": "delete", "select": {"kind": "union", "of": []}}]': "[0].select.of: expected at least",
    f'[{{"kind": "transform", {ALL}, "scale": 0}}]': "[0].scale: expected factors > 0",
    f'[{{"kind": "transform", {ALL}, "keys": [{{"time": 1}}, {{"time": 0}}]}}]': "[0].keys[1].time: expected",
    f'[{{"kind": "recolor", {ALL}, "color": [0, 0, 2]}}]': "[0].color[2]: expected a number",
    f'[{{"kind": "opacity", {ALL}, "during": {{"start": 2, "end": 1}}}}]': "[0].during.end: expected a time",
    '[{"kind": "speed", "factor": 1e999}]': "[0].factor: expected a finite number",
    "[{]": "document: expected JSON",
    '{"format": "recon4d-edits", "format_version": 2, "edits": []}': "format_version: expected at most 1",
    '{"format": "other", "format_version": 1, "edits": []}': "format: expected 'recon4d-edits'",
}


@pytest.mark.parametrize("text", BAD)
def test_wrong_documents_are_refused_by_place(text: str):
    with pytest.raises(SceneFormatError) as error:
        script_from_bytes(text.encode(), "script.json")
    assert str(error.value).startswith("script.json: ")
    assert BAD[text] in str(error.value)


def test_ids_are_unique_and_given_where_they_are_left_out():
    edits = script_from_bytes(
        f'[{{"kind": "delete", {ALL}}}, {{"kind": "delete", "id": "delete-4", {ALL}}}]'.encode(), "s"
    )
    assert [edit.id for edit in EditStack(edits).edits] == ["delete-5", "delete-4"]
    twice = f'[{{"kind": "delete", "id": "a", {ALL}}}, {{"kind": "delete", "id": "a", {ALL}}}]'
    document = {"format": "recon4d-edits", "format_version": 1, "edits": json.loads(twice)}
    with pytest.raises(SceneFormatError, match="'a' twice"):
        stack_from_json(Node("edits.json", "", document))


def test_what_is_at_its_default_is_left_out_and_whole_numbers_are_short():
    text = f'[{{"kind": "opacity", {ALL}, "factor": 1.0, "soft": 2.0}}]'
    edits = script_from_bytes(text.encode(), "s")
    (line,) = re.findall(rb"\{\"kind\": \"opacity.*", stack_to_bytes(EditStack(edits)))
    assert line == b'{"kind": "opacity", "id": "opacity-1", "select": {"kind": "all"}, "soft": 2}'
