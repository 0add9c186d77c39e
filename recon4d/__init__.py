"""recon4d: dynamic Gaussian-surfel scenes from video, edited by hand, exported to game engines."""

from recon4d.core import BackendError as BackendError
from recon4d.core import Camera as Camera
from recon4d.core import InputError as InputError
from recon4d.core import Recon4dError as Recon4dError
from recon4d.core import SceneFormatError as SceneFormatError
from recon4d.core import Surfels as Surfels
from recon4d.render import RasterOutput as RasterOutput
from recon4d.render import rasterize as rasterize

__version__ = "0.1.0"
