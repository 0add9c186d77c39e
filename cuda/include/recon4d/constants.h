// Numbers of the image formation that every backend shares.  They live here once; the bindings export them and a test
// compares them with recon4d/render/constants.py.
#pragma once

namespace recon4d {

// A scale below this many pixels is drawn as if it were this large: the screen-space low pass hides the difference and
// 1 / scale^2 stays finite in float32.
inline constexpr double kMinScalePixels = 1e-4;

// |cos| of the angle between normal and view ray below which a surfel counts as edge-on and is drawn only as its
// screen-space dot: its plane's depth is no longer representable in float32.
inline constexpr double kEdgeOnCosine = 1e-4;

// rho2 = kLowPassInverseVariance * |pixel - centre|^2: the smallest footprint a surfel can have on screen.
inline constexpr double kLowPassInverseVariance = 2.0;

// Where only the low pass hits, the depth of the surfel's plane is kept within this factor of the centre's depth.
inline constexpr double kLowPassDepthRatio = 2.0;

// The median depth is that of the surfel at which the transmittance falls to this value.
inline constexpr double kMedianTransmittance = 0.5;

// rho and the opacity are carried in units of log2, so that alpha needs one exp2 and no multiplication:
// exp(-rho / 2) = exp2(-kHalfLog2E * rho).
inline constexpr double kHalfLog2E = 0.72134752044448170368;
inline constexpr double kSqrtHalfLog2E = 0.84932180028801904272;
inline constexpr double kLn2 = 0.69314718055994530942;

// A quaternion this short has no direction.
inline constexpr double kMinQuaternionNorm = 1e-12;

inline constexpr int kTileSize = 16;
// Feature channels that one pass blends; the caller splits more.
inline constexpr int kMaxChannels = 32;
// Tiles are counted in 16 bits.
inline constexpr int kMaxImageSide = 65535;

}  // namespace recon4d
