"""The heavier operations of the edit stack, as pure functions on fields; all deterministic.

Places and attaches things, deforms by handles, scales regions, replaces subjects, heals backgrounds, retargets motion,
and reads assets.  Knows no edit types, no JSON, no stack and no viewer: `recon4d.editors` wires these functions in.
"""

from recon4d.editors.shapes.assets import Asset as Asset
from recon4d.editors.shapes.assets import AssetMesh as AssetMesh
from recon4d.editors.shapes.assets import read_asset as read_asset
from recon4d.editors.shapes.attaching import ROOT as ROOT
from recon4d.editors.shapes.attaching import attach_to_bone as attach_to_bone
from recon4d.editors.shapes.attaching import bone_frames as bone_frames
from recon4d.editors.shapes.attaching import bone_near as bone_near
from recon4d.editors.shapes.attaching import pose_on_bone as pose_on_bone
from recon4d.editors.shapes.placing import place as place
from recon4d.editors.shapes.placing import repeat as repeat
from recon4d.editors.shapes.placing import retime as retime
from recon4d.editors.shapes.placing import similarity as similarity
from recon4d.editors.shapes.turning import turn_colors as turn_colors
