"""Selections: which surfels an edit is about, as data.  Does NOT change anything."""

from recon4d.editors.selections.base import Selection as Selection
from recon4d.editors.selections.base import chosen as chosen
from recon4d.editors.selections.base import resolve as resolve
from recon4d.editors.selections.basic import All as All
from recon4d.editors.selections.basic import Ids as Ids
from recon4d.editors.selections.basic import InLayers as InLayers
from recon4d.editors.selections.basic import Part as Part
from recon4d.editors.selections.basic import to_ranges as to_ranges
