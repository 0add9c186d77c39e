// Eight floats in an AVX2 register, with the operations of recon4d/scalar.h and those the tile kernels need.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "recon4d/scalar.h"

namespace recon4d {
inline namespace R4D_ISA {

struct Mask8 {
  __m256 m;
};
R4D_HD Mask8 operator&(Mask8 a, Mask8 b) { return {_mm256_and_ps(a.m, b.m)}; }
R4D_HD Mask8 operator|(Mask8 a, Mask8 b) { return {_mm256_or_ps(a.m, b.m)}; }
R4D_HD uint32_t bits(Mask8 a) { return static_cast<uint32_t>(_mm256_movemask_ps(a.m)); }
R4D_HD bool any(Mask8 a) { return bits(a) != 0; }

struct Lanes {
  using Scalar = float;
  static constexpr int kWidth = 8;
  __m256 v;
  Lanes() = default;
  R4D_HD Lanes(__m256 x) : v(x) {}
  R4D_HD Lanes(float x) : v(_mm256_set1_ps(x)) {}
  R4D_HD Lanes(double x) : v(_mm256_set1_ps(static_cast<float>(x))) {}
  R4D_HD Lanes(int x) : v(_mm256_set1_ps(static_cast<float>(x))) {}
};

template <>
struct NumberTraits<Lanes> {
  using Scalar = float;
  using Mask = Mask8;
};

R4D_HD Lanes operator+(Lanes a, Lanes b) { return _mm256_add_ps(a.v, b.v); }
R4D_HD Lanes operator-(Lanes a, Lanes b) { return _mm256_sub_ps(a.v, b.v); }
R4D_HD Lanes operator*(Lanes a, Lanes b) { return _mm256_mul_ps(a.v, b.v); }
R4D_HD Lanes operator/(Lanes a, Lanes b) { return _mm256_div_ps(a.v, b.v); }
R4D_HD Lanes operator-(Lanes a) { return _mm256_sub_ps(_mm256_setzero_ps(), a.v); }
R4D_HD Mask8 operator<(Lanes a, Lanes b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
R4D_HD Mask8 operator<=(Lanes a, Lanes b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
R4D_HD Mask8 operator>(Lanes a, Lanes b) { return b < a; }

R4D_HD Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
R4D_HD Lanes nfma(Lanes a, Lanes b, Lanes c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }  // c - a b
// Returns b where a is not a number.
R4D_HD Lanes minimum(Lanes a, Lanes b) { return _mm256_min_ps(a.v, b.v); }
R4D_HD Lanes maximum(Lanes a, Lanes b) { return _mm256_max_ps(a.v, b.v); }
R4D_HD Lanes square_root(Lanes a) { return _mm256_sqrt_ps(a.v); }
R4D_HD Lanes absolute(Lanes a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
R4D_HD Lanes select(Mask8 m, Lanes a, Lanes b) { return _mm256_blendv_ps(b.v, a.v, m.m); }
R4D_HD Lanes keep(Mask8 m, Lanes a) { return _mm256_and_ps(m.m, a.v); }  // a where m, else 0

// 1 / x: 12-bit estimate and one Newton step.
R4D_HD Lanes reciprocal(Lanes x) {
  const __m256 r = _mm256_rcp_ps(x.v);
  return _mm256_mul_ps(r, _mm256_fnmadd_ps(x.v, r, _mm256_set1_ps(2.0f)));
}

// 2^x for x <= 1, relative error below 2e-7 (minimax polynomial of degree 5 on [-1/2, 1/2]); 0 below 2^-126.
R4D_HD Lanes exponential2(Lanes x) {
  const __m256 clamped = _mm256_max_ps(x.v, _mm256_set1_ps(-127.0f));
  const __m256 whole = _mm256_round_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 f = _mm256_sub_ps(clamped, whole);
  // Estrin's order: half the latency of Horner's.
  const __m256 f2 = _mm256_mul_ps(f, f);
  const __m256 p01 = _mm256_fmadd_ps(_mm256_set1_ps(6.9314694e-1f), f, _mm256_set1_ps(1.0000001f));
  const __m256 p23 = _mm256_fmadd_ps(_mm256_set1_ps(5.5507131e-2f), f, _mm256_set1_ps(2.4022120e-1f));
  const __m256 p45 = _mm256_fmadd_ps(_mm256_set1_ps(1.3276472e-3f), f, _mm256_set1_ps(9.6755410e-3f));
  const __m256 p = _mm256_fmadd_ps(_mm256_fmadd_ps(p45, f2, p23), f2, p01);
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

R4D_HD Lanes load(const float* p) { return _mm256_load_ps(p); }
R4D_HD void store(float* p, Lanes a) { _mm256_store_ps(p, a.v); }
R4D_HD Lanes load_unaligned(const float* p) { return _mm256_loadu_ps(p); }
R4D_HD void store_unaligned(float* p, Lanes a) { _mm256_storeu_ps(p, a.v); }

// Rows of four pixels: lane 4 r + c comes from p[r * stride + c].
R4D_HD Lanes load_rows(const float* p, int64_t stride) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride), 1);
}
R4D_HD void store_rows(float* p, int64_t stride, Lanes a) {
  _mm_storeu_ps(p, _mm256_castps256_ps128(a.v));
  _mm_storeu_ps(p + stride, _mm256_extractf128_ps(a.v, 1));
}

R4D_HD float sum(Lanes a) {
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

// out[i] = sum(a[i]) for 16 registers at once, by two transposing trees of eight.
R4D_HD void sum16(const Lanes* a, float* out) {
  for (int half = 0; half < 2; ++half, a += 8, out += 8) {
    __m256 quarter[4];
    for (int g = 0; g < 4; ++g) {
      const __m256 a0 = a[g].v, a1 = a[4 + g].v;
      quarter[g] = _mm256_add_ps(_mm256_permute2f128_ps(a0, a1, 0x20), _mm256_permute2f128_ps(a0, a1, 0x31));
    }
    const __m256 x = _mm256_add_ps(_mm256_unpacklo_ps(quarter[0], quarter[1]), _mm256_unpackhi_ps(quarter[0], quarter[1]));
    const __m256 y = _mm256_add_ps(_mm256_unpacklo_ps(quarter[2], quarter[3]), _mm256_unpackhi_ps(quarter[2], quarter[3]));
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xEE)));
  }
}

}  // namespace R4D_ISA
}  // namespace recon4d
