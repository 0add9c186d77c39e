"""Moving surfels: canonical surfels and a warp over continuous time.

Knows no camera, no rasterizer, no loss and no file.  To add a warp: subclass `Warp` in a file of its own, export it
here, and give it a kind in `recon4d.scene`.
"""

from recon4d.field.bones import BonesWarp as BonesWarp
from recon4d.field.field import Field as Field
from recon4d.field.identity import IdentityWarp as IdentityWarp
from recon4d.field.refined import Refined as Refined
from recon4d.field.residual import ResidualWarp as ResidualWarp
from recon4d.field.rigid import RigidWarp as RigidWarp
from recon4d.field.skinning import skinning_weights as skinning_weights
from recon4d.field.warp import Warp as Warp
