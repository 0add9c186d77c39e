"""The fit: from images with cameras and masks to a scene of moving surfels.

Knows no viewer and no command line, and prints nothing: it calls back with snapshots.
"""

from recon4d.train.capture import Capture as Capture
from recon4d.train.capture import capture_from_dataset as capture_from_dataset
from recon4d.train.config import PRESETS as PRESETS
from recon4d.train.config import FitConfig as FitConfig
from recon4d.train.config import Rates as Rates
from recon4d.train.config import Weights as Weights
from recon4d.train.config import preset as preset
from recon4d.train.fit import Fitted as Fitted
from recon4d.train.fit import Snapshot as Snapshot
from recon4d.train.fit import fit as fit
