"""Losses: pure functions of what was rendered, or of how a scene moves, and of what was seen.

Each returns one number, 0 for a perfect input, and keeps no weights: how much a loss counts is the caller's business.
Nothing here renders, warps, reads files or changes its inputs.  To add a loss: a function in the file of its kind, an
export here, and tests with a hand-computed value, `gradcheck` and the input at which it is zero.
"""

from recon4d.losses.depth import inverse_depth_error as inverse_depth_error
from recon4d.losses.depth import relative_depth_error as relative_depth_error
from recon4d.losses.motion import flow_error as flow_error
from recon4d.losses.motion import track_error as track_error
from recon4d.losses.photometric import color_error as color_error
from recon4d.losses.photometric import dssim as dssim
from recon4d.losses.photometric import mask_error as mask_error
from recon4d.losses.rank import motion_rank as motion_rank
from recon4d.losses.rigidity import as_rigid_as_possible as as_rigid_as_possible
from recon4d.losses.smoothness import surface_roughness as surface_roughness
from recon4d.losses.surface import distortion_error as distortion_error
from recon4d.losses.surface import normal_consistency as normal_consistency
from recon4d.losses.surface import normals_from_depth as normals_from_depth
from recon4d.losses.surfels import anisotropy_excess as anisotropy_excess
from recon4d.losses.surfels import opacity_entropy as opacity_entropy
from recon4d.losses.surfels import scale_excess as scale_excess
from recon4d.losses.temporal import acceleration as acceleration
from recon4d.losses.temporal import angular_acceleration as angular_acceleration
