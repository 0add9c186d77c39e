// Forward pass: one block per frame and tile, see tile.cuh for the plan.
//
// State per pixel lives in registers: transmittance, colour, normal, depth, the two moments of the distortion, the median.
#pragma once
#include "tile.cuh"

namespace recon4d::gpu {

template <class T, int kChannels>
__global__ void __launch_bounds__(kTileThreads) forward_kernel(Scene<T> a, const Record<T>* records, const Box<T>* boxes,
                                                               Binning bin, Planes<T> out, T* pixel_sums) {
  R4D_SHARED(Stage<T>, stage);
  const PixelPlace<T> p = pixel_place(a);
  const T min_transmittance = a.limits.min_transmittance;
  // A pixel outside the image starts used up: nothing is ever blended there.
  T transmittance = p.inside ? T(1) : T(0);
  T color[kChannels];
#pragma unroll
  for (int c = 0; c < kChannels; ++c) color[c] = T(0);
  T nx(0), ny(0), nz(0), depth(0), m1(0), m2(0), median(0), shift(0);

  walk_tile(
      p, records, boxes, bin, stage, [&] { return min_transmittance < transmittance; },
      [&](const Record<T>& s) {
        const Visit<T> h = visit(s, p.x, p.y, a.limits.near_plane);
        const T rho = least(h.rho3, h.rho2);
        if (!(rho <= s.cut && min_transmittance < transmittance)) return;
        const T alpha = least(exponential2(s.log2_opacity - rho), a.limits.alpha_max);
        const T weight = alpha * transmittance, left = transmittance - weight;
        const T z = s.mz * h.depth_den_inverse, inverse_z = h.depth_den * s.mz_inverse;
        // s is measured from the first hit's, or the difference of two close layers would drown in rounding.
        if (transmittance >= T(1)) shift = inverse_z;
        if (T(kMedianTransmittance) < transmittance && left <= T(kMedianTransmittance)) median = z;
        transmittance = left;
        if (kChannels == 3) {
          color[0] = fma(weight, s.red, color[0]);
          color[1] = fma(weight, s.green, color[1]);
          color[2] = fma(weight, s.blue, color[2]);
        } else {
          const T* features = a.features.of(p.frame) + static_cast<int64_t>(s.slot % static_cast<uint32_t>(a.count)) * a.channels;
#pragma unroll
          for (int c = 0; c < kChannels; ++c)
            if (c < a.channels) color[c] = fma(weight, features[c], color[c]);
        }
        nx = fma(weight, s.nx, nx);
        ny = fma(weight, s.ny, ny);
        nz = fma(weight, s.nz, nz);
        depth = fma(weight, z, depth);
        const T shifted = inverse_z - shift, ws = weight * shifted;
        m1 = m1 + ws;
        m2 = fma(ws, shifted, m2);
      });

  if (!p.inside) return;
  const T alpha = T(1) - transmittance;
#pragma unroll
  for (int c = 0; c < kChannels; ++c)
    if (c < a.channels) {
      const T value = a.background ? fma(transmittance, a.background[c], color[c]) : color[c];
      out.color[(static_cast<int64_t>(p.frame) * a.channels + c) * p.plane + p.pixel] = value;
    }
  const int64_t single = p.frame * p.plane + p.pixel, triple = 3 * p.frame * p.plane + p.pixel;
  out.alpha[single] = alpha;
  out.depth[single] = alpha > T(0) ? depth / alpha : T(0);
  out.median[single] = median;
  out.normal[triple] = nx;
  out.normal[triple + p.plane] = ny;
  out.normal[triple + 2 * p.plane] = nz;
  out.distortion[single] = alpha * m2 - m1 * m1;
  pixel_sums[triple] = m1;
  pixel_sums[triple + p.plane] = m2;
  pixel_sums[triple + 2 * p.plane] = shift;
}

}  // namespace recon4d::gpu
