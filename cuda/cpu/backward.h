// Backward pass over one tile.
//
// Work plan: surfel by surfel, front to back, over just the blocks that the forward pass marked.  Per pixel one scalar of
// state is replayed, R = sum over the surfels still to come of w q, where q is what the loss would gain per unit of weight:
//     dL/dalpha_i = T_i q_i - R_i / (1 - alpha_i).
// The gradient of a surfel is summed over the tile's pixels in registers, as moments that do not depend on its own
// parameters (sum g, sum g dx, sum g dx^2, ...), folded across lanes once per tile and stored in a slot of its own: no two
// threads ever add to the same number, and the sum over a surfel's tiles (gradients.h) has one fixed order.
#pragma once
#include "blocks.h"

namespace recon4d {
inline namespace R4D_ISA {

// Per pixel: what the loop reads and the two numbers that it carries along.
struct PixelState {
  Lanes x, y;                                           // pixel centres
  Lanes transmittance, remaining;                       // T and R
  Lanes red, green, blue, nx, ny, nz, depth, median;    // gradients of the sums over w
  Lanes constant;                                       // alpha's, and the distortion's part that is the same for all surfels
  Lanes d1, d2;                                         // the distortion's: q contains s (d1 s - d2)
  Lanes shift;                                          // where s is measured from
};

struct BackwardScratch {
  PixelState pixel[kBlocks];
};

// Turns the gradients of the outputs into gradients of the plain sums over w.
template <int kChannels>
inline void prepare_block(const Frame<Scalar>& f, const Backward<Scalar>& g, PixelState& p, Lanes* color, int tile,
                          int block, const BlockPlace& b) {
  const int width = f.width, height = f.height, channels = kChannels ? kChannels : f.surfels.channels;
  const int64_t plane = static_cast<int64_t>(width) * height;
  const Planes<Scalar>& up = g.upstream;
  auto from = [&](const Scalar* planes, int c) {
    return load_block(planes ? planes + c * plane : nullptr, b, width, height);
  };
  const Lanes inside = inside_block(b, width, height);
  const Lanes alpha = from(f.out.alpha, 0);
  const Mask seen = Lanes(0) < alpha;
  Lanes v_alpha = from(up.alpha, 0);
  Lanes total(0);
  Lanes c3[3] = {Lanes(0), Lanes(0), Lanes(0)};
  for (int c = 0; c < channels; ++c) {
    const Lanes v = from(up.color, c);
    Lanes sum = from(f.out.color, c);
    if (f.background) {
      const Lanes bg(f.background[c]);
      sum = sum - (Lanes(1) - alpha) * bg;
      v_alpha = v_alpha - v * bg;
    }
    total = fma(v, sum, total);
    if (kChannels == 3) c3[c] = v;
    else color[c] = v;
  }
  p.red = c3[0];
  p.green = c3[1];
  p.blue = c3[2];
  p.nx = from(up.normal, 0);
  p.ny = from(up.normal, 1);
  p.nz = from(up.normal, 2);
  total = fma(p.nx, from(f.out.normal, 0), fma(p.ny, from(f.out.normal, 1), fma(p.nz, from(f.out.normal, 2), total)));
  // depth = sum(w z) / alpha
  const Lanes depth = from(f.out.depth, 0), v_depth = from(up.depth, 0);
  p.depth = keep(seen, v_depth / select(seen, alpha, Lanes(1)));
  v_alpha = v_alpha - p.depth * depth;
  total = fma(p.depth * depth, alpha, total);
  p.median = from(up.median, 0);
  // distortion = W M2 - M1^2
  const Scalar* sums = block_sums(f, tile, block);
  const Lanes m1 = load(sums), m2 = load(sums + kLanes);
  const Lanes v_dist = from(up.distortion, 0);
  p.shift = load(sums + 2 * kLanes);
  p.d1 = v_dist * alpha;
  p.d2 = Lanes(2) * v_dist * m1;
  p.constant = fma(v_dist, m2, v_alpha);
  total = fma(v_alpha, alpha, total);
  p.remaining = fma(Lanes(2) * v_dist, alpha * m2 - m1 * m1, total);
  p.transmittance = inside;
}

// Sums over the pixels of a tile; the order is that of the slots, the first sixteen are folded together.
struct SurfelSums {
  // Moments of dL/drho3 / den^2 times a.d and b.d.  Moments of d alone would be one sum less, but for a plane seen at a
  // grazing angle a.d is a small difference of large numbers, and it must be taken before the sum, not after.
  Lanes u, v, u_dx, u_dy, v_dx, v_dy;
  Lanes den, den_dx, den_dy;           // dL/dden
  Lanes low_dx, low_dy;                // moments of dL/drho2
  Lanes rho, mz, nx, ny, nz, red, green, blue;
};

// The first half of a visit: everything up to alpha.  It needs nothing that an earlier visit of the same surfel computes.
template <SurfelKind kKind>
struct Approach {
  Visit v;
  Lanes raw;     // alpha before the clamp
  Mask hit, on_disc;
};

template <SurfelKind kKind>
R4D_HD Approach<kKind> approach(const Frame<Scalar>& f, const Record<Scalar>& s, const PixelState& p) {
  Approach<kKind> h;
  h.v = visit<kKind>(s, p.x, p.y, f.limits.near_plane);
  const Lanes rho = kKind == kDiscOnly ? h.v.rho3 : minimum(h.v.rho3, h.v.rho2);
  h.hit = (Lanes(f.limits.min_transmittance) < p.transmittance) & (rho <= Lanes(s.cut));
  h.on_disc = h.v.rho3 <= h.v.rho2;
  h.raw = exponential2(Lanes(s.log2_opacity) - rho);
  return h;
}

// The second half: blends, and adds to the surfel's sums.
template <int kChannels, SurfelKind kKind>
R4D_HD void visit_backward(const Frame<Scalar>& f, const Record<Scalar>& s, const Approach<kKind>& approached,
                           PixelState& p, const Lanes* v_color, SurfelSums& a, Lanes* sum_color) {
  const Visit& h = approached.v;
  const Mask hit = approached.hit, on_disc = approached.on_disc;
  const Lanes t = p.transmittance;
  const Lanes alpha = keep(hit, minimum(approached.raw, Lanes(f.limits.alpha_max)));
  const Lanes weight = alpha * t;
  const Lanes left = t - weight;
  const Lanes z = Lanes(s.mz) * h.depth_den_inverse;
  const Lanes inverse_z = h.depth_den * Lanes(s.mz_inverse);
  const Lanes shifted = inverse_z - p.shift;

  // q: what the loss gains per unit of this surfel's weight.
  Lanes q = p.constant;
  if (kChannels == 3) {
    q = fma(p.red, Lanes(s.red), q);
    q = fma(p.green, Lanes(s.green), q);
    q = fma(p.blue, Lanes(s.blue), q);
  } else {
    const Scalar* features = f.colors + static_cast<int64_t>(s.id) * f.surfels.channels;
    for (int c = 0; c < f.surfels.channels; ++c) q = fma(v_color[c], Lanes(features[c]), q);
  }
  q = fma(p.nx, Lanes(s.nx), q);
  q = fma(p.ny, Lanes(s.ny), q);
  q = fma(p.nz, Lanes(s.nz), q);
  q = fma(p.depth, z, q);
  const Lanes slope = p.d1 * shifted;
  q = fma(shifted, slope - p.d2, q);

  const Lanes gain = weight * q;
  const Lanes remaining = p.remaining - gain;
  p.remaining = remaining;
  const Mask free = hit & (approached.raw < Lanes(f.limits.alpha_max));  // nothing flows through a clamped alpha
  // dL/drho = -ln 2 alpha dL/dalpha
  const Lanes alpha_ln2 = Lanes(kLn2) * alpha;
  const Lanes g = keep(free, nfma(Lanes(kLn2), gain, alpha_ln2 / (Lanes(1) - alpha) * remaining));
  const Lanes g3 = kKind == kDiscOnly ? g : keep(on_disc, g), low = g - g3;
  const Lanes gr = g3 * h.den_inverse, gn = gr * h.den_inverse;
  const Mask at_median =
      hit & (Lanes(kMedianTransmittance) < t) & (left <= Lanes(kMedianTransmittance));
  const Lanes v_z = fma(weight, p.depth, keep(at_median, p.median));
  const Lanes v_s = weight * (slope + slope - p.d2);
  const Lanes zr = v_z * h.depth_den_inverse;
  // Through the depth's denominator; where it is bounded nothing flows.
  Lanes through_depth = nfma(zr, z, v_s * Lanes(s.mz_inverse));
  if (kKind == kSpecial) {
    const Mask unbounded = (Lanes(1 / kLowPassDepthRatio) <= h.den) & (h.den <= Lanes(kLowPassDepthRatio));
    through_depth = keep(on_disc | unbounded, through_depth);
  }
  const Lanes v_den = nfma(gr + gr, h.rho3, through_depth);

  const Lanes gu = gn * h.u, gv = gn * h.v;
  a.u = a.u + gu;
  a.v = a.v + gv;
  a.u_dx = fma(gu, h.dx, a.u_dx);
  a.u_dy = fma(gu, h.dy, a.u_dy);
  a.v_dx = fma(gv, h.dx, a.v_dx);
  a.v_dy = fma(gv, h.dy, a.v_dy);
  a.den = a.den + v_den;
  a.den_dx = fma(v_den, h.dx, a.den_dx);
  a.den_dy = fma(v_den, h.dy, a.den_dy);
  if (kKind != kDiscOnly) {
    a.low_dx = fma(low, h.dx, a.low_dx);
    a.low_dy = fma(low, h.dy, a.low_dy);
  }
  a.rho = a.rho + g;
  a.mz = a.mz + nfma(v_s * inverse_z, Lanes(s.mz_inverse), zr);
  a.nx = fma(weight, p.nx, a.nx);
  a.ny = fma(weight, p.ny, a.ny);
  a.nz = fma(weight, p.nz, a.nz);
  if (kChannels == 3) {
    a.red = fma(weight, p.red, a.red);
    a.green = fma(weight, p.green, a.green);
    a.blue = fma(weight, p.blue, a.blue);
  } else {
    for (int c = 0; c < f.surfels.channels; ++c) sum_color[c] = fma(weight, v_color[c], sum_color[c]);
  }
  p.transmittance = left;
}

template <int kChannels, SurfelKind kKind>
inline void surfel_backward(const Frame<Scalar>& f, BackwardScratch& w, const Lanes* v_color, Lanes* sum_color,
                            const Record<Scalar>* s, uint32_t hits, Scalar* slot) {
  const int channels = f.surfels.channels;
  SurfelSums a;
  Lanes* const sums = &a.u;
  for (int i = 0; i < kGeometrySlots + 3; ++i) sums[i] = Lanes(0);
  if (kChannels != 3)
    for (int c = 0; c < channels; ++c) sum_color[c] = Lanes(0);
  // Software pipeline: the next visit's first half is under way while this one's second half runs.  A visit is one long
  // chain of dependent operations, and the processor does not look far enough ahead to overlap two by itself.
  int b = __builtin_ctz(hits);
  Approach<kKind> ahead = approach<kKind>(f, *s, w.pixel[b]);
  for (;;) {
    const int now = b;
    const Approach<kKind> current = ahead;
    hits &= hits - 1;
    // Makes the record look different in every round: else the compiler would spread all of its numbers over registers
    // before the loop, run out of them, and spill whole vectors where four-byte broadcasts from memory cost nothing.
    asm("" : "+r"(s));
    if (hits) {
      b = __builtin_ctz(hits);
      ahead = approach<kKind>(f, *s, w.pixel[b]);
    }
    visit_backward<kChannels, kKind>(f, *s, current, w.pixel[now], v_color + now * channels, a, sum_color);
    if (!hits) break;
  }
  if (kChannels == 3) {
    sum16(sums, slot);
    sum3(a.red, a.green, a.blue, slot + kGeometrySlots);
  } else {
    sum16(sums, slot);
    for (int c = 0; c < channels; ++c) slot[kGeometrySlots + c] = sum(sum_color[c]);
  }
}

inline void prefetch_inputs(const Frame<Scalar>& f, const Backward<Scalar>& g, int tile) {
  const int x = tile % f.tiles_x, y = tile / f.tiles_x;
  const Planes<Scalar>& up = g.upstream;
  const Scalar* const single[6] = {f.out.alpha, f.out.depth, up.alpha, up.depth, up.median, up.distortion};
  for (const Scalar* plane : single) prefetch_tile<false>(plane, 1, x, y, f.width, f.height);
  const Scalar* const colors[2] = {f.out.color, up.color};
  for (const Scalar* plane : colors) prefetch_tile<false>(plane, f.surfels.channels, x, y, f.width, f.height);
  const Scalar* const normals[2] = {f.out.normal, up.normal};
  for (const Scalar* plane : normals) prefetch_tile<false>(plane, 3, x, y, f.width, f.height);
}

template <int kChannels>
inline void backward_tile(const Frame<Scalar>& f, const Backward<Scalar>& g, void* scratch, int tile) {
  BackwardScratch& w = *static_cast<BackwardScratch*>(scratch);
  const int channels = f.surfels.channels;
  Lanes* v_color = reinterpret_cast<Lanes*>(&w + 1);   // [kBlocks, channels], used unless there are three channels
  Lanes* sum_color = v_color + kBlocks * channels;     // [channels]
  const int64_t begin = f.tile_begin[tile], end = f.tile_begin[tile + 1];
  if (begin == end) return;
  const int tile_x = tile % f.tiles_x, tile_y = tile / f.tiles_x;
  const PixelGrid grid;
  for (int b = 0; b < kBlocks; ++b) {
    const BlockPlace place = block_place(tile_x, tile_y, b, f.width, f.height);
    if (place.x >= f.width || place.y >= f.height) continue;
    prepare_block<kChannels>(f, g, w.pixel[b], v_color + b * channels, tile, b, place);
    w.pixel[b].x = grid.x + Lanes(place.x);
    w.pixel[b].y = grid.y + Lanes(place.y);
  }
  if (tile + 1 < f.tiles_x * f.tiles_y) prefetch_inputs(f, g, tile + 1);  // most likely this thread's next
  constexpr int kAhead = 4;
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) {
      const char* record = reinterpret_cast<const char*>(&f.records[f.instances[i + kAhead]]);
      __builtin_prefetch(record);
      __builtin_prefetch(record + 64);
      const Scalar* slot = g.slots + int64_t(f.slot_of[i + kAhead]) * g.slot_size;
      __builtin_prefetch(slot, 1);
      __builtin_prefetch(slot + 16, 1);
    }
    Scalar* slot = g.slots + int64_t(f.slot_of[i]) * g.slot_size;
    const uint32_t hits = f.hits[i];
    const Record<Scalar>& s = f.records[f.instances[i]];
    if (!hits)
      for (int c = 0; c < g.slot_size; ++c) slot[c] = 0;
    else if (s.kind == kDiscOnly)
      surfel_backward<kChannels, kDiscOnly>(f, w, v_color, sum_color, &s, hits, slot);
    else if (s.kind == kGeneral)
      surfel_backward<kChannels, kGeneral>(f, w, v_color, sum_color, &s, hits, slot);
    else
      surfel_backward<kChannels, kSpecial>(f, w, v_color, sum_color, &s, hits, slot);
  }
}

}  // namespace R4D_ISA
}  // namespace recon4d
