"""Selections of a client: set, add, remove, intersect, and what they become as data."""

from __future__ import annotations

import pytest
import torch

from recon4d.core import InputError
from recon4d.editors import All, Delete, Ids, InLayers, Sphere
from recon4d.scene import Scene
from recon4d.viewer import Project
from recon4d.viewer.selecting import Selecting, combined


@pytest.fixture
def project(scene: Scene) -> Project:
    return Project(scene)


@pytest.fixture
def selecting(project: Project) -> Selecting:
    return Selecting(project, lambda: None)


def test_whole_layers_stay_what_they_are_called(selecting: Selecting):
    assert selecting.take(InLayers(("ball",))) == 100
    assert selecting.selection == InLayers(("ball",))
    assert selecting.take(All()) == 800
    assert selecting.selection == All()


def test_what_is_drawn_becomes_ids(selecting: Selecting):
    count = selecting.take(Sphere(center=(0.7, 0.0, 0.0), radius=0.4))
    assert 0 < count < 400
    assert isinstance(selecting.selection, Ids)
    marks = selecting.marks["blob"].clone()
    selecting.refresh()
    assert torch.equal(selecting.marks["blob"], marks)


def test_sets_are_combined(selecting: Selecting):
    right = Sphere(center=(0.7, 0.0, 0.0), radius=0.6, layers=("blob",))
    selecting.take(right)
    right_count = len(selecting)
    top = Sphere(center=(0.0, 0.0, 0.7), radius=0.6, layers=("blob",))
    both = selecting.take(top, "Intersect")
    selecting.back()
    union = selecting.take(top, "Add")
    selecting.back()
    rest = selecting.take(top, "Remove")
    top_count = selecting.take(top)
    assert both > 0
    assert union == right_count + top_count - both
    assert rest == right_count - both


def test_masks_over_several_layers():
    a, b = {"x": torch.tensor([True, False]), "y": torch.tensor([True])}, {"x": torch.tensor([True, True])}
    assert {n: m.tolist() for n, m in combined(a, b, "Remove").items()} == {"y": [True]}
    assert {n: m.tolist() for n, m in combined(a, b, "Intersect").items()} == {"x": [True, False]}
    assert {n: m.tolist() for n, m in combined(a, b, "Add").items()} == {"x": [True, True], "y": [True]}
    assert {n: m.tolist() for n, m in combined(a, b, "New").items()} == {"x": [True, True]}


def test_selections_are_taken_back(selecting: Selecting):
    selecting.take(InLayers(("ball",)))
    selecting.take(All())
    assert selecting.back()
    assert len(selecting) == 100
    assert selecting.back()
    assert len(selecting) == 0
    assert not selecting.back()


def test_inverting(selecting: Selecting):
    selecting.take(InLayers(("ball",)))
    assert selecting.invert() == 700
    selecting.clear()
    assert selecting.invert() == 800


def test_deleted_surfels_are_no_longer_selected(project: Project, selecting: Selecting):
    selecting.take(InLayers(("ball",)))
    project.add(Delete(select=selecting.needed()))
    selecting.refresh()
    assert len(selecting) == 0
    with pytest.raises(InputError, match="nothing"):
        selecting.needed()


def test_a_preview_marks_without_selecting(selecting: Selecting):
    selecting.take(InLayers(("ball",)))
    selecting.preview({"wall": torch.ones(300, dtype=torch.bool)})
    assert list(selecting.shown) == ["wall"]
    assert list(selecting.marks) == ["ball"]
    selecting.preview(None)
    assert list(selecting.shown) == ["ball"]


def test_a_selection_that_cannot_be_made_leaves_the_old_one(selecting: Selecting):
    selecting.take(InLayers(("ball",)))
    with pytest.raises(InputError, match="nowhere"):
        selecting.take(InLayers(("nowhere",)))
    assert len(selecting) == 100


def test_an_edit_may_come_between_two_selections(project: Project, selecting: Selecting):
    """From another client, or another thread, before anybody has said that the surfels are others now."""
    selecting.take(Sphere(center=(0.7, 0.0, 0.0), radius=0.6))
    before = project.state
    project.add(Delete(select=Sphere(center=(0.7, 0.0, 0.0), radius=0.4)))
    state, marks = selecting.marked
    assert state is before
    assert {name: len(mask) for name, mask in marks.items()} == {n: len(before.layer(n).field) for n in marks}
    left = Sphere(center=(-0.7, 0.0, 0.0), radius=0.6)
    would_be = selecting.would_be(left, "Add")
    selecting.take(left, "Add")
    state, marks = selecting.marked
    assert state is project.state
    for name, mask in marks.items():
        assert len(mask) == len(state.layer(name).field)
        assert torch.equal(mask, would_be[name])
