// Sixteen floats in an AVX-512 register, with the operations of recon4d/scalar.h and those the tile kernels need.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "recon4d/scalar.h"

namespace recon4d {
inline namespace R4D_ISA {

struct Mask16 {
  __mmask16 m;
};
R4D_HD Mask16 operator&(Mask16 a, Mask16 b) { return {static_cast<__mmask16>(a.m & b.m)}; }
R4D_HD Mask16 operator|(Mask16 a, Mask16 b) { return {static_cast<__mmask16>(a.m | b.m)}; }
R4D_HD bool any(Mask16 a) { return a.m != 0; }
R4D_HD uint32_t bits(Mask16 a) { return a.m; }

struct Lanes {
  using Scalar = float;
  static constexpr int kWidth = 16;
  __m512 v;
  Lanes() = default;
  R4D_HD Lanes(__m512 x) : v(x) {}
  R4D_HD Lanes(float x) : v(_mm512_set1_ps(x)) {}
  R4D_HD Lanes(double x) : v(_mm512_set1_ps(static_cast<float>(x))) {}
  R4D_HD Lanes(int x) : v(_mm512_set1_ps(static_cast<float>(x))) {}
};

template <>
struct NumberTraits<Lanes> {
  using Scalar = float;
  using Mask = Mask16;
};

R4D_HD Lanes operator+(Lanes a, Lanes b) { return _mm512_add_ps(a.v, b.v); }
R4D_HD Lanes operator-(Lanes a, Lanes b) { return _mm512_sub_ps(a.v, b.v); }
R4D_HD Lanes operator*(Lanes a, Lanes b) { return _mm512_mul_ps(a.v, b.v); }
R4D_HD Lanes operator/(Lanes a, Lanes b) { return _mm512_div_ps(a.v, b.v); }
R4D_HD Lanes operator-(Lanes a) { return _mm512_sub_ps(_mm512_setzero_ps(), a.v); }
R4D_HD Mask16 operator<(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
R4D_HD Mask16 operator<=(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
R4D_HD Mask16 operator>(Lanes a, Lanes b) { return b < a; }

R4D_HD Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
R4D_HD Lanes nfma(Lanes a, Lanes b, Lanes c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }  // c - a b
// Returns b where a is not a number.
R4D_HD Lanes minimum(Lanes a, Lanes b) { return _mm512_min_ps(a.v, b.v); }
R4D_HD Lanes maximum(Lanes a, Lanes b) { return _mm512_max_ps(a.v, b.v); }
R4D_HD Lanes square_root(Lanes a) { return _mm512_sqrt_ps(a.v); }
R4D_HD Lanes absolute(Lanes a) { return _mm512_abs_ps(a.v); }
R4D_HD Lanes select(Mask16 m, Lanes a, Lanes b) { return _mm512_mask_blend_ps(m.m, b.v, a.v); }
R4D_HD Lanes keep(Mask16 m, Lanes a) { return _mm512_maskz_mov_ps(m.m, a.v); }  // a where m, else 0

// 1 / x to one unit in the last place or so: 14-bit estimate and one Newton step.
R4D_HD Lanes reciprocal(Lanes x) {
  const __m512 r = _mm512_rcp14_ps(x.v);
  return _mm512_mul_ps(r, _mm512_fnmadd_ps(x.v, r, _mm512_set1_ps(2.0f)));
}

// 2^x for x <= 1, relative error below 2e-7 (minimax polynomial of degree 5 on [-1/2, 1/2]); underflows to 0.
R4D_HD Lanes exponential2(Lanes x) {
  const __m512 whole = _mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x.v, whole);
  // Estrin's order: half the latency of Horner's.
  const __m512 f2 = _mm512_mul_ps(f, f);
  const __m512 p01 = _mm512_fmadd_ps(_mm512_set1_ps(6.9314694e-1f), f, _mm512_set1_ps(1.0000001f));
  const __m512 p23 = _mm512_fmadd_ps(_mm512_set1_ps(5.5507131e-2f), f, _mm512_set1_ps(2.4022120e-1f));
  const __m512 p45 = _mm512_fmadd_ps(_mm512_set1_ps(1.3276472e-3f), f, _mm512_set1_ps(9.6755410e-3f));
  const __m512 p = _mm512_fmadd_ps(_mm512_fmadd_ps(p45, f2, p23), f2, p01);
  return _mm512_scalef_ps(p, whole);
}

R4D_HD Lanes load(const float* p) { return _mm512_load_ps(p); }
R4D_HD void store(float* p, Lanes a) { _mm512_store_ps(p, a.v); }
R4D_HD Lanes load_unaligned(const float* p) { return _mm512_loadu_ps(p); }
R4D_HD void store_unaligned(float* p, Lanes a) { _mm512_storeu_ps(p, a.v); }

// Rows of four pixels: lane 4 r + c comes from p[r * stride + c].
R4D_HD Lanes load_rows(const float* p, int64_t stride) {
  const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride), 1);
  const __m256 high =
      _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 2 * stride)), _mm_loadu_ps(p + 3 * stride), 1);
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
R4D_HD void store_rows(float* p, int64_t stride, Lanes a) {
  _mm_storeu_ps(p, _mm512_castps512_ps128(a.v));
  _mm_storeu_ps(p + stride, _mm512_extractf32x4_ps(a.v, 1));
  _mm_storeu_ps(p + 2 * stride, _mm512_extractf32x4_ps(a.v, 2));
  _mm_storeu_ps(p + 3 * stride, _mm512_extractf32x4_ps(a.v, 3));
}

R4D_HD float sum(Lanes a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

// out[i] = sum(a[i]) for i < 3.
R4D_HD void sum3(Lanes a, Lanes b, Lanes c, float* out) {
  const __m256 a0 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m256 b0 = _mm256_add_ps(_mm512_castps512_ps256(b.v), _mm512_extractf32x8_ps(b.v, 1));
  const __m256 c0 = _mm256_add_ps(_mm512_castps512_ps256(c.v), _mm512_extractf32x8_ps(c.v, 1));
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a0, b0), _mm256_unpackhi_ps(a0, b0));  // a b a b
  const __m256 cc = _mm256_add_ps(c0, _mm256_movehdup_ps(c0));                              // c . c .
  const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cc, 0x44), _mm256_shuffle_ps(ab, cc, 0xEE));
  const __m128 r = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  _mm_storel_pi(reinterpret_cast<__m64*>(out), r);
  _mm_store_ss(out + 2, _mm_movehl_ps(r, r));
}

// out[i] = sum(a[i]) for 16 registers at once: a transposing tree of 15 additions instead of 16 separate sums.
R4D_HD void sum16(const Lanes* a, float* out) {
  __m512 half[4];
  for (int g = 0; g < 4; ++g) {
    // Registers g, 4 + g, 8 + g, 12 + g are folded to one 128-bit quarter each.
    const __m512 a0 = a[g].v, a1 = a[4 + g].v, a2 = a[8 + g].v, a3 = a[12 + g].v;
    const __m512 s0 = _mm512_add_ps(_mm512_shuffle_f32x4(a0, a1, 0x44), _mm512_shuffle_f32x4(a0, a1, 0xEE));
    const __m512 s1 = _mm512_add_ps(_mm512_shuffle_f32x4(a2, a3, 0x44), _mm512_shuffle_f32x4(a2, a3, 0xEE));
    half[g] = _mm512_add_ps(_mm512_shuffle_f32x4(s0, s1, 0x88), _mm512_shuffle_f32x4(s0, s1, 0xDD));
  }
  const __m512 x = _mm512_add_ps(_mm512_unpacklo_ps(half[0], half[1]), _mm512_unpackhi_ps(half[0], half[1]));
  const __m512 y = _mm512_add_ps(_mm512_unpacklo_ps(half[2], half[3]), _mm512_unpackhi_ps(half[2], half[3]));
  _mm512_storeu_ps(out, _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xEE)));
}

// Lists the indices i < count whose marks[i] has a bit of `bit` set, in order; returns how many.  Reads and writes up to 15
// entries beyond the end.
constexpr bool kHasListMarked = true;
R4D_HD int list_marked(const uint32_t* marks, int count, uint32_t bit, uint16_t* list) {
  const __m512i wanted = _mm512_set1_epi32(static_cast<int>(bit));
  __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int found = 0;
  for (int i = 0; i < count; i += 16) {
    const __mmask16 in_range = count - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (count - i)) - 1);
    const __mmask16 m = _mm512_mask_test_epi32_mask(in_range, _mm512_loadu_si512(marks + i), wanted);
    const __m256i packed = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(m, index));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(list + found), packed);
    found += __builtin_popcount(m);
    index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
  }
  return found;
}

}  // namespace R4D_ISA
}  // namespace recon4d
