"""The kinds of edits.  Each is a frozen dataclass with `apply(state) -> state`, pure; none writes a file."""

from recon4d.editors.edits.base import Edit as Edit
from recon4d.editors.edits.remove import Delete as Delete
