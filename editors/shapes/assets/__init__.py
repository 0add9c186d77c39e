"""Assets: things that come from files of other programs, or from other scenes, as fields of surfels.

Every file is taken for hostile: counts are checked against its size before anything is allocated, sizes are capped, and
it is read whole or not at all.
"""

from recon4d.editors.shapes.assets.asset import Asset as Asset
from recon4d.editors.shapes.assets.asset import AssetMesh as AssetMesh
from recon4d.editors.shapes.assets.read import MAX_SURFELS as MAX_SURFELS
from recon4d.editors.shapes.assets.read import UP_AXES as UP_AXES
from recon4d.editors.shapes.assets.read import read_asset as read_asset
