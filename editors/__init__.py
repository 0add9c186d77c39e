"""Edits of a scene as data: selections, the edit stack, and its evaluation.  Never touches a viewer.

    view = evaluate(load("cat.r4d"), EditStack().add(Delete(select=InLayers(names=("table",)))))

The base scene is never written: edits live in `edits.json` beside it.  `open_view` reads both.
"""

from recon4d.editors.builder import Builder as Builder
from recon4d.editors.cameras import View as View
from recon4d.editors.edited_field import EditedField as EditedField
from recon4d.editors.edits import BonePose as BonePose
from recon4d.editors.edits import Delete as Delete
from recon4d.editors.edits import Duplicate as Duplicate
from recon4d.editors.edits import Edit as Edit
from recon4d.editors.edits import Freeze as Freeze
from recon4d.editors.edits import Grade as Grade
from recon4d.editors.edits import Hide as Hide
from recon4d.editors.edits import Lock as Lock
from recon4d.editors.edits import Loop as Loop
from recon4d.editors.edits import MergeLayers as MergeLayers
from recon4d.editors.edits import NamePart as NamePart
from recon4d.editors.edits import Opacity as Opacity
from recon4d.editors.edits import Paint as Paint
from recon4d.editors.edits import PoseBones as PoseBones
from recon4d.editors.edits import Recolor as Recolor
from recon4d.editors.edits import RenameLayer as RenameLayer
from recon4d.editors.edits import Retime as Retime
from recon4d.editors.edits import Reverse as Reverse
from recon4d.editors.edits import Separate as Separate
from recon4d.editors.edits import Speed as Speed
from recon4d.editors.edits import Stroke as Stroke
from recon4d.editors.edits import Transform as Transform
from recon4d.editors.edits import Trim as Trim
from recon4d.editors.evaluate import evaluate as evaluate
from recon4d.editors.evaluate import open_view as open_view
from recon4d.editors.history import History as History
from recon4d.editors.journal import Session as Session
from recon4d.editors.keys import Key as Key
from recon4d.editors.keys import Span as Span
from recon4d.editors.motions import PoseKey as PoseKey
from recon4d.editors.schema import json_schema as json_schema
from recon4d.editors.selections import All as All
from recon4d.editors.selections import AlongSurface as AlongSurface
from recon4d.editors.selections import Box as Box
from recon4d.editors.selections import Brush as Brush
from recon4d.editors.selections import ByBones as ByBones
from recon4d.editors.selections import ColorFlood as ColorFlood
from recon4d.editors.selections import FrameMask as FrameMask
from recon4d.editors.selections import Grow as Grow
from recon4d.editors.selections import Ids as Ids
from recon4d.editors.selections import InLayers as InLayers
from recon4d.editors.selections import Intersect as Intersect
from recon4d.editors.selections import Invert as Invert
from recon4d.editors.selections import Lasso as Lasso
from recon4d.editors.selections import Part as Part
from recon4d.editors.selections import Plane as Plane
from recon4d.editors.selections import Polygon as Polygon
from recon4d.editors.selections import Ray as Ray
from recon4d.editors.selections import Rectangle as Rectangle
from recon4d.editors.selections import Selection as Selection
from recon4d.editors.selections import Shrink as Shrink
from recon4d.editors.selections import Sphere as Sphere
from recon4d.editors.selections import Subtract as Subtract
from recon4d.editors.selections import Union as Union
from recon4d.editors.selections import ValueRange as ValueRange
from recon4d.editors.selections import chosen as chosen
from recon4d.editors.selections import resolve as resolve
from recon4d.editors.selections import to_ranges as to_ranges
from recon4d.editors.stack import EditStack as EditStack
from recon4d.editors.store import load_stack as load_stack
from recon4d.editors.store import save_stack as save_stack
from recon4d.editors.view import SceneView as SceneView
