// Agreement of blended normals with the normals of the depth map, row by row, and its gradients.
#pragma once
#include <limits>

#include "../lanes.h"
#include "kernels.h"
#include "recon4d/vec3.h"

namespace recon4d {
inline namespace R4D_ISA {

// Lanes below `count` come from p, which is not read beyond them; the others repeat the last.
R4D_HD Lanes load_part(const Scalar* p, int count) { return count >= kLanes ? load_unaligned(p) : gather(p, 1, count); }
R4D_HD void store_part(Scalar* p, int count, Lanes a) {
  if (count >= kLanes)
    store_unaligned(p, a);
  else
    scatter(p, 1, count, false, a);
}

R4D_HD Mask first_lanes(int count) {
  alignas(64) Scalar index[kLanes];
  for (int i = 0; i < kLanes; ++i) index[i] = Scalar(i);
  return load(index) < Lanes(count);
}

// Weights of inner pixels x .. x + count of row y: their coverage, where all four neighbours are at least half covered.
R4D_HD Lanes normal_weights(const NormalInputs<Scalar>& in, int y, int x, int count) {
  const Scalar* p = in.alpha + static_cast<int64_t>(y) * in.width + x;
  const Lanes half(0.5);
  const Mask known = (half <= load_part(p - 1, count)) & (half <= load_part(p + 1, count)) &
                     (half <= load_part(p - in.width, count)) & (half <= load_part(p + in.width, count));
  return keep(known & first_lanes(count), load_part(p, count));
}

inline double normal_weight_row(const NormalInputs<Scalar>& in, int y) {
  Lanes total(0);
  for (int x = 1; x < in.width - 1; x += kLanes) {
    const int left = in.width - 1 - x;
    total = total + normal_weights(in, y, x, left < kLanes ? left : kLanes);
  }
  return sum(total);
}

// A vector of unit length and 1 / the length it had; both zero where it has none to speak of.
struct UnitVector {
  Vec3<Lanes> v;
  Lanes inverse;
};
R4D_HD UnitVector unit_vector(const Vec3<Lanes>& a) {
  const Lanes square = dot(a, a), tiny(std::numeric_limits<Scalar>::min());
  const Mask something = tiny < square;
  const Lanes inverse = keep(something, Lanes(1) / square_root(select(something, square, Lanes(1))));
  return {inverse * a, inverse};
}

// Sum of weight * (1 - cosine) over the inner pixels of row y.  Unless null, `normal` gets the gradient of this row times
// `scale`, [3, height, width], and `shares` what the pixels give to the gradients of their right, left, lower and upper
// neighbours' depths, [4, height, width].
inline double normal_row(const NormalInputs<Scalar>& in, int y, Scalar scale, Scalar* normal, Scalar* shares) {
  const int64_t plane = static_cast<int64_t>(in.height) * in.width;
  const int64_t row = static_cast<int64_t>(y) * in.width;
  if (normal)
    for (int k = 0; k < 3; ++k) normal[k * plane + row] = normal[k * plane + row + in.width - 1] = 0;
  if (shares)
    for (int k = 0; k < 4; ++k) shares[k * plane + row] = shares[k * plane + row + in.width - 1] = 0;
  const Lanes ry(in.ray_y[y]), ry_above(in.ray_y[y - 1]), ry_below(in.ray_y[y + 1]), zero(0), one(1), step(scale);
  Lanes total(0);
  for (int x = 1; x < in.width - 1; x += kLanes) {
    const int count = in.width - 1 - x < kLanes ? in.width - 1 - x : kLanes;
    const Lanes weight = normal_weights(in, y, x, count);
    if (!any(zero < weight)) {
      for (int k = 0; k < 3 && normal; ++k) store_part(normal + k * plane + row + x, count, zero);
      for (int k = 0; k < 4 && shares; ++k) store_part(shares + k * plane + row + x, count, zero);
      continue;
    }
    const Scalar* z = in.depth + row + x;
    const Lanes right = load_part(z + 1, count), left = load_part(z - 1, count);
    const Lanes below = load_part(z + in.width, count), above = load_part(z - in.width, count);
    const Lanes rx = load_part(in.ray_x + x, count);
    const Lanes rx_right = load_part(in.ray_x + x + 1, count), rx_left = load_part(in.ray_x + x - 1, count);
    const Lanes across = right - left, down = below - above;
    const Vec3<Lanes> du = {right * rx_right - left * rx_left, across * ry, across};
    const Vec3<Lanes> dv = {down * rx, below * ry_below - above * ry_above, down};
    const UnitVector from_depth = unit_vector(cross(dv, du));
    const Scalar* n = in.normal + row + x;
    const UnitVector blended = unit_vector({load_part(n, count), load_part(n + plane, count), load_part(n + 2 * plane, count)});
    const Lanes cosine = dot(blended.v, from_depth.v);
    total = fma(weight, one - cosine, total);
    if (!normal && !shares) continue;
    const Lanes v = step * weight;  // of minus the cosine
    if (normal) {
      const Vec3<Lanes> g = (v * blended.inverse) * (cosine * blended.v - from_depth.v);
      store_part(normal + row + x, count, g.x);
      store_part(normal + plane + row + x, count, g.y);
      store_part(normal + 2 * plane + row + x, count, g.z);
    }
    if (shares) {
      const Vec3<Lanes> g = (v * from_depth.inverse) * (cosine * from_depth.v - blended.v);
      const Vec3<Lanes> g_dv = cross(du, g), g_du = cross(g, dv);
      const Lanes along = fma(ry, g_du.y, g_du.z), upright = fma(rx, g_dv.x, g_dv.z);
      store_part(shares + row + x, count, fma(rx_right, g_du.x, along));
      store_part(shares + plane + row + x, count, -fma(rx_left, g_du.x, along));
      store_part(shares + 2 * plane + row + x, count, fma(ry_below, g_dv.y, upright));
      store_part(shares + 3 * plane + row + x, count, -fma(ry_above, g_dv.y, upright));
    }
  }
  return sum(total);
}

// Gathers the shares of row y into the gradient of its depths.
inline void normal_depth_row(const NormalInputs<Scalar>& in, const Scalar* shares, int y, Scalar* depth) {
  const int width = in.width;
  const int64_t plane = static_cast<int64_t>(in.height) * width, row = static_cast<int64_t>(y) * width;
  const bool inner = y >= 1 && y < in.height - 1, below_inner = y >= 2, above_inner = y < in.height - 2;
  const Scalar *right = shares + row, *left = shares + plane + row;
  const Scalar *lower = shares + 2 * plane + row - width, *upper = shares + 3 * plane + row + width;
  Scalar* out = depth + row;
  for (int x = 0; x < width; ++x) out[x] = 0;
  if (inner) {
    for (int x = 1; x < width; ++x) out[x] += right[x - 1];
    for (int x = 0; x < width - 1; ++x) out[x] += left[x + 1];
  }
  if (below_inner)
    for (int x = 0; x < width; ++x) out[x] += lower[x];
  if (above_inner)
    for (int x = 0; x < width; ++x) out[x] += upper[x];
}

}  // namespace R4D_ISA
}  // namespace recon4d
