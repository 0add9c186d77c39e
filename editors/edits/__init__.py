"""The kinds of edits.  Each is a frozen dataclass with `apply(state) -> state`, pure; none writes a file."""

from recon4d.editors.edits.base import Edit as Edit
from recon4d.editors.edits.color import Grade as Grade
from recon4d.editors.edits.color import Opacity as Opacity
from recon4d.editors.edits.color import Paint as Paint
from recon4d.editors.edits.color import Recolor as Recolor
from recon4d.editors.edits.color import Stroke as Stroke
from recon4d.editors.edits.move import Transform as Transform
from recon4d.editors.edits.organise import Hide as Hide
from recon4d.editors.edits.organise import Lock as Lock
from recon4d.editors.edits.organise import NamePart as NamePart
from recon4d.editors.edits.organise import RenameLayer as RenameLayer
from recon4d.editors.edits.pose import BonePose as BonePose
from recon4d.editors.edits.pose import PoseBones as PoseBones
from recon4d.editors.edits.remove import Delete as Delete
from recon4d.editors.edits.remove import Duplicate as Duplicate
from recon4d.editors.edits.remove import MergeLayers as MergeLayers
from recon4d.editors.edits.remove import Separate as Separate
from recon4d.editors.edits.time import Freeze as Freeze
from recon4d.editors.edits.time import Loop as Loop
from recon4d.editors.edits.time import Retime as Retime
from recon4d.editors.edits.time import Reverse as Reverse
from recon4d.editors.edits.time import Speed as Speed
from recon4d.editors.edits.time import Trim as Trim
