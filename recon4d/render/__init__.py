"""Drawing surfels, differentiably: `rasterize` and its backends.

Knows cameras and surfels only: no time, no optimiser, no file, no hidden state.
"""

from recon4d.render.api import Limits as Limits
from recon4d.render.api import RasterOutput as RasterOutput
from recon4d.render.api import available_backends as available_backends
from recon4d.render.api import raise_bad_values as raise_bad_values
from recon4d.render.api import rasterize as rasterize
from recon4d.render.backends import SlowBackendWarning as SlowBackendWarning
from recon4d.render.backends import keep_idle_memory as keep_idle_memory
