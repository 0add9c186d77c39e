"""Mathematics shared by every room: rigid transforms, cameras, splines, spherical harmonics, surfels, errors.

Touches no file, no native code and no other room.  `quaternion`, `rigid`, `spline` and `spherical_harmonics` are used
as modules (`from recon4d.core import quaternion`).
"""

from recon4d.core.camera import Camera as Camera
from recon4d.core.errors import BackendError as BackendError
from recon4d.core.errors import InputError as InputError
from recon4d.core.errors import Recon4dError as Recon4dError
from recon4d.core.errors import SceneFormatError as SceneFormatError
from recon4d.core.rigid import Similarity as Similarity
from recon4d.core.spline import SE3Spline as SE3Spline
from recon4d.core.surfels import Surfels as Surfels
