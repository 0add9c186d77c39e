"""The fit: from posed images with masks to a scene of moving surfels.

Knows no viewer and no command line, and prints nothing: it calls back with snapshots.
"""

from recon4d.train.config import PRESETS as PRESETS
from recon4d.train.config import FitConfig as FitConfig
from recon4d.train.config import Rates as Rates
from recon4d.train.config import Weights as Weights
from recon4d.train.config import preset as preset
from recon4d.train.fit import Snapshot as Snapshot
from recon4d.train.fit import fit as fit
