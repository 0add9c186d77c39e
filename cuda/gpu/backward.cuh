// Backward pass over pixels: the same blocks, the same walk as forward.cuh, front to back.
//
// Per pixel one scalar of state is replayed besides the transmittance: R, the sum over the surfels still to come of w q,
// where q is what the loss would gain per unit of weight, so that dL/dalpha_i = T_i q_i - R_i / (1 - alpha_i).
// A surfel's gradient is summed over the warp as moments that do not depend on its own parameters (a reduce-scatter that
// leaves one value in each lane), then added to its 80 bytes with one atomic per value.
#pragma once
#include "tile.cuh"

namespace recon4d::gpu {

template <class T, int kChannels>
struct Upstream {
  T color[kChannels], nx, ny, nz, depth, median;  // gradients of the sums over w
  T constant;   // alpha's, and the distortion's part that is the same for all surfels
  T d1, d2;     // the distortion's: q contains s (d1 s - d2)
  T shift;      // where s is measured from
  T remaining;  // R before the first surfel
};

// Turns the gradients of the outputs into gradients of the plain sums over w.
template <class T, int kChannels>
__device__ inline Upstream<T, kChannels> prepare_pixel(const Scene<T>& a, const PixelPlace<T>& p, const Planes<T>& out,
                                                       const Planes<T>& up, const T* pixel_sums) {
  auto from = [&](const T* planes, int channels, int c) {
    return p.inside && planes ? planes[(static_cast<int64_t>(p.frame) * channels + c) * p.plane + p.pixel] : T(0);
  };
  Upstream<T, kChannels> g;
  const T alpha = from(out.alpha, 1, 0);
  T v_alpha = from(up.alpha, 1, 0), total(0);
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    g.color[c] = T(0);
    if (c >= a.channels) continue;
    const T v = from(up.color, a.channels, c);
    T sum = from(out.color, a.channels, c);
    if (a.background) {
      const T behind = a.background[c];
      sum = sum - (T(1) - alpha) * behind;
      v_alpha = v_alpha - v * behind;
    }
    total = fma(v, sum, total);
    g.color[c] = v;
  }
  g.nx = from(up.normal, 3, 0);
  g.ny = from(up.normal, 3, 1);
  g.nz = from(up.normal, 3, 2);
  total = fma(g.nx, from(out.normal, 3, 0), fma(g.ny, from(out.normal, 3, 1), fma(g.nz, from(out.normal, 3, 2), total)));
  // depth = sum(w z) / alpha
  const T depth = from(out.depth, 1, 0), v_depth = from(up.depth, 1, 0);
  g.depth = alpha > T(0) ? v_depth / alpha : T(0);
  v_alpha = v_alpha - g.depth * depth;
  total = fma(g.depth * depth, alpha, total);
  g.median = from(up.median, 1, 0);
  // distortion = W M2 - M1^2
  const T m1 = from(pixel_sums, 3, 0), m2 = from(pixel_sums, 3, 1), v_dist = from(up.distortion, 1, 0);
  g.shift = from(pixel_sums, 3, 2);
  g.d1 = v_dist * alpha;
  g.d2 = T(2) * v_dist * m1;
  g.constant = fma(v_dist, m2, v_alpha);
  total = fma(v_alpha, alpha, total);
  g.remaining = fma(T(2) * v_dist, alpha * m2 - m1 * m1, total);
  return g;
}

template <class T, int kChannels>
__global__ void __launch_bounds__(kTileThreads) backward_kernel(Scene<T> a, const Record<T>* records, const Box<T>* boxes,
                                                                Binning bin, Planes<T> out, const T* pixel_sums, Planes<T> up,
                                                                T* gradients) {
  R4D_SHARED(Stage<T>, stage);
  // Channels are reduced together, padded to a power of two.
  constexpr int kPadded = kChannels == 3 ? 4 : kChannels;
  static_assert((kPadded & (kPadded - 1)) == 0, "a power of two");
  constexpr int kStride = kGeometrySums + kPadded;
  const PixelPlace<T> p = pixel_place(a);
  const T min_transmittance = a.limits.min_transmittance;
  const Upstream<T, kChannels> g = prepare_pixel<T, kChannels>(a, p, out, up, pixel_sums);
  T transmittance = p.inside ? T(1) : T(0), remaining = g.remaining;
  // After the reductions each sum of the geometry is in two lanes, one of them even, and each of a channel in at least two:
  // even lanes add the former and odd lanes the latter, in one request to memory for all.
  const bool odd = p.lane % 2;
  const int channel_of_lane = p.lane / (32 / kPadded);
  const bool adds = !odd || (p.lane % (32 / kPadded) == 1 && channel_of_lane < a.channels);
  T* const mine = gradients + (odd ? kGeometrySums + channel_of_lane : p.lane / (32 / kGeometrySums));

  walk_tile(
      p, records, boxes, bin, stage, [&] { return min_transmittance < transmittance; },
      [&](const Record<T>& s) {
        const Visit<T> h = visit(s, p.x, p.y, a.limits.near_plane);
        const T rho = least(h.rho3, h.rho2);
        const bool hit = rho <= s.cut && min_transmittance < transmittance;
        if (!__any_sync(kWholeWarp, hit)) return;
        // Lanes that are not hit go along with a weight of zero, of which every sum below is a multiple: all that it is
        // multiplied with is finite, because visit() bounds what a pixel far from the surfel sees of it.
        const T raw = exponential2(s.log2_opacity - rho);
        const T alpha = hit ? least(raw, a.limits.alpha_max) : T(0);
        const T weight = alpha * transmittance, left = transmittance - weight;
        const T z = s.mz * h.depth_den_inverse, inverse_z = h.depth_den * s.mz_inverse, shifted = inverse_z - g.shift;
        // q: what the loss gains per unit of this surfel's weight.
        T q = g.constant;
        if (kChannels == 3) {
          q = fma(g.color[0], s.red, q);
          q = fma(g.color[1], s.green, q);
          q = fma(g.color[2], s.blue, q);
        } else {
          const T* features =
              a.features.of(p.frame) + static_cast<int64_t>(s.slot % static_cast<uint32_t>(a.count)) * a.channels;
#pragma unroll
          for (int c = 0; c < kChannels; ++c)
            if (c < a.channels) q = fma(g.color[c], features[c], q);
        }
        q = fma(g.nx, s.nx, q);
        q = fma(g.ny, s.ny, q);
        q = fma(g.nz, s.nz, q);
        q = fma(g.depth, z, q);
        const T slope = g.d1 * shifted;
        q = fma(shifted, slope - g.d2, q);

        const T gain = weight * q;
        remaining = remaining - gain;
        // dL/drho = -ln 2 alpha dL/dalpha; nothing flows through a clamped alpha.
        const T through = T(kLn2) * fma(alpha * reciprocal(T(1) - alpha), remaining, -gain);
        const T v_rho = raw < a.limits.alpha_max ? through : T(0);
        const T v_rho3 = h.on_disc ? v_rho : T(0), v_rho2 = v_rho - v_rho3;
        const T gr = v_rho3 * h.den_inverse, gn = gr * h.den_inverse;
        const bool at_median = T(kMedianTransmittance) < transmittance && left <= T(kMedianTransmittance);
        const T v_z = fma(weight, g.depth, at_median ? g.median : T(0));
        const T v_s = weight * fma(T(2), slope, -g.d2);
        const T zr = v_z * h.depth_den_inverse;
        // Through the depth's denominator; where it is bounded nothing flows.
        T through_depth = fma(v_s, s.mz_inverse, -zr * z);
        if (s.flags & kSpecial) {
          const bool bounded = !h.on_disc && (h.den < T(1 / kLowPassDepthRatio) || h.den > T(kLowPassDepthRatio));
          through_depth = bounded ? T(0) : through_depth;
        }
        const T v_den = fma(T(-2) * gr, h.rho3, through_depth);

        const T gu = gn * h.u, gv = gn * h.v;
        T sums[kGeometrySums] = {gu,
                                 gv,
                                 gu * h.dx,
                                 gu * h.dy,
                                 gv * h.dx,
                                 gv * h.dy,
                                 v_den,
                                 v_den * h.dx,
                                 v_den * h.dy,
                                 v_rho2 * h.dx,
                                 v_rho2 * h.dy,
                                 v_rho,
                                 fma(-v_s * inverse_z, s.mz_inverse, zr),
                                 weight * g.nx,
                                 weight * g.ny,
                                 weight * g.nz};
        T color_sums[kPadded];
#pragma unroll
        for (int c = 0; c < kPadded; ++c) color_sums[c] = c < kChannels ? weight * g.color[c] : T(0);
        transmittance = left;
        const T geometry = reduce_scatter<kGeometrySums>(sums, p.lane), channel = reduce_scatter<kPadded>(color_sums, p.lane);
        if (adds) atomicAdd(mine + static_cast<int64_t>(s.slot) * kStride, odd ? channel : geometry);
      });
}

}  // namespace recon4d::gpu
