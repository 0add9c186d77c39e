"""Names of objects."""

from __future__ import annotations

import gc

import torch

from recon4d.viewer import identity as names
from recon4d.viewer.identity import identity


def test_tensors_that_are_equal_have_names_of_their_own():
    tensors = [torch.zeros(3, dtype=torch.bool) for _ in range(500)]
    found = [identity(tensor) for tensor in tensors]
    assert len(set(found)) == 500
    assert [identity(tensor) for tensor in tensors] == found


def test_names_are_never_given_again_and_forgotten_with_their_object():
    seen: set[int] = set()
    for _ in range(500):
        name = identity(torch.zeros(2))
        assert name not in seen
        seen.add(name)
    gc.collect()
    assert len(names._names) < 400
