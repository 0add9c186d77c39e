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
// outline's tangent is x = const) and over the two ends of the cut.  Scalars only; such surfels are rare.  Where rounding
// leaves nothing, low > high.
template <class S>
R4D_HD_COLD void crossing_extent(S focal, S a, S b, S m, const DiscAxes<S>& d, S mz, S near_plane, S& low, S& high) {
  low = S(3e37);
  high = S(-3e37);
  auto take = [&](S cos_t, S sin_t, S z) {
    const S x = focal * (m + cos_t * a + sin_t * b) / z;
    low = minimum(low, x);
    high = maximum(high, x);
  };
  // The angles t with A cos t + B sin t + C = 0, as cosines and sines.
  auto solve = [](S ca, S cb, S cc, S* cos_t, S* sin_t) {
    const S length = square_root(ca * ca + cb * cb);
    if (!(length > S(0)) || absolute(cc) > length) return false;
    const S along = -cc / length, across = square_root(maximum(S(1) - along * along, S(0)));
    const S px = ca / length, py = cb / length;
    cos_t[0] = along * px - across * py, sin_t[0] = along * py + across * px;
    cos_t[1] = along * px + across * py, sin_t[1] = along * py - across * px;
    return true;
  };
  S cos_t[2], sin_t[2];
  // Tangent points: where d/dt of x(t) / z(t) vanishes.
  if (solve(b * mz - m * d.b.z, m * d.a.z - a * mz, b * d.a.z - a * d.b.z, cos_t, sin_t))
    for (int i = 0; i < 2; ++i) {
      const S z = mz + cos_t[i] * d.a.z + sin_t[i] * d.b.z;
      if (z >= near_plane) take(cos_t[i], sin_t[i], z);
    }
  // The ends of the cut lie on the near plane by definition; computing their depth would only add rounding.
  if (solve(d.a.z, d.b.z, mz - near_plane, cos_t, sin_t))
    for (int i = 0; i < 2; ++i) take(cos_t[i], sin_t[i], near_plane);
}

// Whether a disc is so long that rounding of its depths (relative to the type's precision `epsilon`) blurs the near plane;
// then only the whole image is a safe box.
template <class S>
R4D_HD_COLD bool too_long_for_near_plane(const DiscAxes<S>& d, S near_plane, S epsilon) {
  const S longest = maximum(maximum(absolute(d.a.x), absolute(d.a.y)), maximum(absolute(d.b.x), absolute(d.b.y)));
  const S deepest = maximum(absolute(d.a.z), absolute(d.b.z));
  return !(epsilon * maximum(longest, deepest) < S(0.01) * near_plane);
}

}  // namespace R4D_ISA
}  // namespace recon4d
