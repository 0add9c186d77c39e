"""The numbers that define an image, once.

The C++ headers hold the same numbers for the compiled kernels and export them; a test compares the two.  Nothing else
in the project types any of them again.
"""

from __future__ import annotations

NEAR = 0.01
"""Default near plane, scene units.  A surfel is drawn where its centre is beyond it, and only where the ray meets the
surfel's plane beyond it."""

ALPHA_MIN = 1.0 / 255.0
"""Default least alpha that is blended: below it a surfel cannot change an 8-bit image."""

ALPHA_MAX = 0.999
"""Default greatest alpha of one surfel in one pixel, so that what lies behind always gets a gradient."""

MIN_TRANSMITTANCE = 1e-4
"""Default transmittance at which a pixel is full: nothing behind is blended any more."""

LOW_PASS_INVERSE_VARIANCE = 2.0
"""Inverse variance, in 1/pixel^2, of the screen-space Gaussian that no surfel may be smaller than."""

LOW_PASS_DEPTH_RATIO = 2.0
"""Where the low pass decides a pixel, the ray may meet the plane far from the surfel; the depth is kept within this
ratio of the centre's depth, either way."""

MIN_SCALE_PIXELS = 1e-4
"""Scales are raised to this size on screen: far below what the low pass lets anyone see, and no division by zero."""

EDGE_ON_COSINE = 1e-4
"""Below this |cosine| between normal and view ray a surfel has no usable plane: only its low-pass disc is drawn."""

EDGE_ON_INVERSE_SIGMA = 1e4
"""What stands for the inverse sizes of such a surfel on screen, in 1/pixel: so narrow that the low pass wins."""

MEDIAN_TRANSMITTANCE = 0.5
"""The median depth is the depth of the surfel at which the transmittance first falls to this."""

MIN_QUATERNION_NORM = 1e-12
"""A quaternion of this norm or less has no direction and is refused."""
