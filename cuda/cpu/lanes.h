// Picks the lane type of this translation unit and adds what all lane types share.
#pragma once

#if defined(R4D_LANES_AVX512)
#include "lanes_avx512.h"
#elif defined(R4D_LANES_AVX2)
#include "lanes_avx2.h"
#else
#include "lanes_portable.h"
#endif

namespace recon4d {
inline namespace R4D_ISA {

using Scalar = Lanes::Scalar;
using Mask = NumberTraits<Lanes>::Mask;
constexpr int kLanes = Lanes::kWidth;

#if !defined(R4D_LANES_AVX512)
R4D_HD void sum3(Lanes a, Lanes b, Lanes c, Scalar* out) {
  out[0] = sum(a);
  out[1] = sum(b);
  out[2] = sum(c);
}

// Without a compressing store a list is faster filled surfel by surfel; see deal_chunk in forward.h.
constexpr bool kHasListMarked = false;
R4D_HD int list_marked(const uint32_t*, int, uint32_t, uint16_t*) { return 0; }
#endif

R4D_HD Lanes logarithm2(Lanes a) {
  alignas(64) Scalar t[kLanes];
  store(t, a);
  for (int i = 0; i < kLanes; ++i) t[i] = logarithm2(t[i]);
  return load(t);
}

// Lane i comes from p[(first + i) * stride]; lanes at or beyond `count` repeat the last valid one.
R4D_HD Lanes gather(const Scalar* p, int64_t stride, int count) {
  alignas(64) Scalar t[kLanes];
  for (int i = 0; i < kLanes; ++i) t[i] = p[(i < count ? i : count - 1) * stride];
  return load(t);
}

// Adds to or overwrites p[i * stride] for the lanes below `count`.
R4D_HD void scatter(Scalar* p, int64_t stride, int count, bool accumulate, Lanes a) {
  alignas(64) Scalar t[kLanes];
  store(t, a);
  if (accumulate)
    for (int i = 0; i < count; ++i) p[i * stride] += t[i];
  else
    for (int i = 0; i < count; ++i) p[i * stride] = t[i];
}

// Sum of the lanes below `count`.
R4D_HD Scalar sum_first(Lanes a, int count) {
  alignas(64) Scalar t[kLanes];
  store(t, a);
  for (int i = count; i < kLanes; ++i) t[i] = 0;
  return sum(load(t));
}

}  // namespace R4D_ISA
}  // namespace recon4d
