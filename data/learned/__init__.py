"""Learned models as helpers: masks and depth by networks whose weights the user gives.

masks = learned_masks(clip, "sam2:FOLDER", work=folder); depths = learned_depth(clip, "depth-anything:FOLDER",
work=folder); aligned = align_depths(depths, cameras, tracks)

Never required, and nothing is downloaded unless asked for.  They answer with the same records as the classical stages
of `recon4d.data.motion`.  Does NOT train, and holds no networks of its own: those are transformers'.
"""

from recon4d.data.learned.alignment import AlignedDepths as AlignedDepths
from recon4d.data.learned.alignment import align_depths as align_depths
from recon4d.data.learned.depths import Depths as Depths
from recon4d.data.learned.depths import LearnedDepthSettings as LearnedDepthSettings
from recon4d.data.learned.depths import learned_depth as learned_depth
from recon4d.data.learned.prompts import Prompt as Prompt
from recon4d.data.learned.prompts import prompt_from_masks as prompt_from_masks
from recon4d.data.learned.registry import Availability as Availability
from recon4d.data.learned.registry import available as available
from recon4d.data.learned.registry import why_not as why_not
from recon4d.data.learned.segmenting import LearnedMaskSettings as LearnedMaskSettings
from recon4d.data.learned.segmenting import learned_masks as learned_masks
from recon4d.data.learned.segmenting import learned_objects as learned_objects
from recon4d.data.learned.segmenting import masks_or_classical as masks_or_classical
from recon4d.data.learned.weights import ADAPTERS as ADAPTERS
from recon4d.data.learned.weights import Adapter as Adapter
from recon4d.data.learned.weights import Weights as Weights
from recon4d.data.learned.weights import open_weights as open_weights
