"""The heavier operations of the edit stack, as pure functions on fields; all deterministic.

Places and attaches things, deforms by handles, scales regions, replaces subjects, heals backgrounds, retargets motion,
and reads assets.  Knows no edit types, no JSON, no stack and no viewer: `recon4d.editors` wires these functions in.
"""

from recon4d.editors.shapes.aligning import align_shapes as align_shapes
from recon4d.editors.shapes.assets import Asset as Asset
from recon4d.editors.shapes.assets import AssetMesh as AssetMesh
from recon4d.editors.shapes.assets import read_asset as read_asset
from recon4d.editors.shapes.attaching import ROOT as ROOT
from recon4d.editors.shapes.attaching import attach_to_bone as attach_to_bone
from recon4d.editors.shapes.attaching import bone_frames as bone_frames
from recon4d.editors.shapes.attaching import bone_near as bone_near
from recon4d.editors.shapes.attaching import pose_on_bone as pose_on_bone
from recon4d.editors.shapes.carrying import carry as carry
from recon4d.editors.shapes.deforming import Deformer as Deformer
from recon4d.editors.shapes.deforming import Handle as Handle
from recon4d.editors.shapes.deforming import deform_field as deform_field
from recon4d.editors.shapes.healing import heal_background as heal_background
from recon4d.editors.shapes.healing import heal_patch as heal_patch
from recon4d.editors.shapes.inpainting import Inpaint as Inpaint
from recon4d.editors.shapes.inpainting import inpaint_opencv as inpaint_opencv
from recon4d.editors.shapes.placing import place as place
from recon4d.editors.shapes.placing import repeat as repeat
from recon4d.editors.shapes.placing import retime as retime
from recon4d.editors.shapes.placing import similarity as similarity
from recon4d.editors.shapes.replacing import replace_subject as replace_subject
from recon4d.editors.shapes.replacing import retarget as retarget
from recon4d.editors.shapes.scaling import joint_of as joint_of
from recon4d.editors.shapes.scaling import scale_region as scale_region
from recon4d.editors.shapes.surface import Mesh as Mesh
from recon4d.editors.shapes.surface import Neighbours as Neighbours
from recon4d.editors.shapes.surface import neighbour_graph as neighbour_graph
from recon4d.editors.shapes.surface import normals_of as normals_of
from recon4d.editors.shapes.surface import proxy_mesh as proxy_mesh
from recon4d.editors.shapes.turning import turn_colors as turn_colors
