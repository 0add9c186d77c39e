"""Steps of training as single kernels: targets, posing, skinning, image losses, Adam.

Each equals a function of `recon4d.field` or `recon4d.losses`, which remains the definition, and its gradient; they save
the time of many small operations, nothing else.  `available` says which runs where; importing this works anywhere.
Knows no schedule, no parameter names and no optimiser.
"""

from recon4d.render.fused.bone_transforms import bone_transforms
from recon4d.render.fused.compose import compose
from recon4d.render.fused.cuda_steps import adam_step, ssim
from recon4d.render.fused.native import available
from recon4d.render.fused.normal_consistency import normal_consistency
from recon4d.render.fused.photometric import photometric_error, photometric_errors
from recon4d.render.fused.skin import skin

__all__ = [
    "adam_step",
    "available",
    "bone_transforms",
    "compose",
    "normal_consistency",
    "photometric_error",
    "photometric_errors",
    "skin",
    "ssim",
]
