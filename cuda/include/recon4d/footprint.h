// The box of pixels that a surfel can touch: exact up to rounding, never too small.
//
// The part of the disc |(u, v)| <= r that lies in front of the near plane is projected; the low-pass circle of radius
// r / sqrt(2) pixels around the projected centre is added.  Where the whole disc is in front, its outline is a conic
// whose tangent lines x = const solve a quadratic of the dual conic, which needs no division by n.m and so holds for
// surfels seen edge-on.
#pragma once
#include "recon4d/projection.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
struct Box {
  T x0, x1, y0, y1;
};

// Half axes of the disc at radius r, camera frame.
template <class T>
struct DiscAxes {
  Vec3<T> a, b;
};

template <class T>
R4D_HD DiscAxes<T> disc_axes(const InCamera<T>& c, const T& r) {
  return {(r * c.su) * c.tu, (r * c.sv) * c.tv};
}

// Smallest depth on the disc.
template <class T>
R4D_HD T nearest_depth(const InCamera<T>& c, const DiscAxes<T>& d) {
  return c.m.z - square_root(fma(d.a.z, d.a.z, d.b.z * d.b.z));
}

// Offset from the projected centre to the middle of the outline's extent along one image axis, and half that extent,
// for a disc wholly in front of the camera.  a, b: coordinates of the half axes along the image axis, m: of the centre.
template <class T>
R4D_HD void outline_extent(const T& focal, const T& a, const T& b, const T& m, const DiscAxes<T>& d, const T& mz,
                           T& middle, T& half) {
  const T slope = m / mz;
  const T u = focal * (a - slope * d.a.z), v = focal * (b - slope * d.b.z);
  const T c00 = fma(u, u, v * v), c02 = fma(u, d.a.z, v * d.b.z);
  const T c22 = fma(d.a.z, d.a.z, fma(d.b.z, d.b.z, -mz * mz));
  middle = c02 / c22;
  half = square_root(maximum(fma(c02, c02, -c00 * c22), T(0))) / absolute(c22);
}

// One image axis of the box for a disc that crosses the near plane: extremes over the arc in front of it (where the
// outline's tangent is x = const) and over the two ends of the cut.  Scalars only; such surfels are rare.
template <class S>
inline void crossing_extent(S focal, S a, S b, S m, const DiscAxes<S>& d, S mz, S near_plane, S& low, S& high) {
  const S inf = S(3e37);
  low = inf;
  high = -inf;
  auto take = [&](S cos_t, S sin_t) {
    const S z = mz + cos_t * d.a.z + sin_t * d.b.z;
    if (!(z >= near_plane * S(0.999))) return;
    const S x = focal * (m + cos_t * a + sin_t * b) / z;
    low = minimum(low, x);
    high = maximum(high, x);
  };
  // Tangent points: d/dt of x(t) / z(t) vanishes where A cos t + B sin t + C = 0.
  auto solve = [&](S ca, S cb, S cc) {
    const S length = square_root(ca * ca + cb * cb);
    if (!(length > S(0)) || absolute(cc) > length) return;
    const S along = -cc / length, across = square_root(maximum(S(1) - along * along, S(0)));
    const S px = ca / length, py = cb / length;
    take(along * px - across * py, along * py + across * px);
    take(along * px + across * py, along * py - across * px);
  };
  solve(b * mz - m * d.b.z, m * d.a.z - a * mz, b * d.a.z - a * d.b.z);
  solve(d.a.z, d.b.z, mz - near_plane);  // the ends of the cut
}

}  // namespace R4D_ISA
}  // namespace recon4d
