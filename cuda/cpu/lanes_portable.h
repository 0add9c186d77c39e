// Eight numbers by the compiler's own vector extension: the fallback for processors without AVX2, and the only lane type
// in double precision (which serves gradient checks, not speed).  R4D_SCALAR is float or double.
#pragma once
#include <cmath>
#include <cstdint>

#include "recon4d/scalar.h"

#ifndef R4D_SCALAR
#error "define R4D_SCALAR as float or double"
#endif

namespace recon4d {
inline namespace R4D_ISA {

template <class S>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(32)));
  typedef int32_t Bits __attribute__((vector_size(32)));
};
template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(64)));
  typedef int64_t Bits __attribute__((vector_size(64)));
};
using NativeVector = VectorOf<R4D_SCALAR>::Type;
using NativeBits = VectorOf<R4D_SCALAR>::Bits;

struct Mask8 {
  NativeBits m;
};
R4D_HD Mask8 operator&(Mask8 a, Mask8 b) { return {a.m & b.m}; }
R4D_HD Mask8 operator|(Mask8 a, Mask8 b) { return {a.m | b.m}; }
R4D_HD uint32_t bits(Mask8 a) {
  uint32_t r = 0;
  for (int i = 0; i < 8; ++i) r |= static_cast<uint32_t>(a.m[i] & 1) << i;
  return r;
}
R4D_HD bool any(Mask8 a) { return bits(a) != 0; }

struct Lanes {
  using Scalar = R4D_SCALAR;
  static constexpr int kWidth = 8;
  NativeVector v;
  Lanes() = default;
  R4D_HD Lanes(NativeVector x) : v(x) {}
  R4D_HD Lanes(float x) : v(NativeVector{} + static_cast<Scalar>(x)) {}
  R4D_HD Lanes(double x) : v(NativeVector{} + static_cast<Scalar>(x)) {}
  R4D_HD Lanes(int x) : v(NativeVector{} + static_cast<Scalar>(x)) {}
};

template <>
struct NumberTraits<Lanes> {
  using Scalar = R4D_SCALAR;
  using Mask = Mask8;
};

R4D_HD Lanes operator+(Lanes a, Lanes b) { return a.v + b.v; }
R4D_HD Lanes operator-(Lanes a, Lanes b) { return a.v - b.v; }
R4D_HD Lanes operator*(Lanes a, Lanes b) { return a.v * b.v; }
R4D_HD Lanes operator/(Lanes a, Lanes b) { return a.v / b.v; }
R4D_HD Lanes operator-(Lanes a) { return -a.v; }
R4D_HD Mask8 operator<(Lanes a, Lanes b) { return {a.v < b.v}; }
R4D_HD Mask8 operator<=(Lanes a, Lanes b) { return {a.v <= b.v}; }
R4D_HD Mask8 operator>(Lanes a, Lanes b) { return {a.v > b.v}; }

R4D_HD Lanes fma(Lanes a, Lanes b, Lanes c) { return a.v * b.v + c.v; }
R4D_HD Lanes nfma(Lanes a, Lanes b, Lanes c) { return c.v - a.v * b.v; }
R4D_HD Lanes select(Mask8 m, Lanes a, Lanes b) { return m.m ? a.v : b.v; }
R4D_HD Lanes keep(Mask8 m, Lanes a) { return m.m ? a.v : NativeVector{}; }
// Returns b where a is not a number.
R4D_HD Lanes minimum(Lanes a, Lanes b) { return (a.v < b.v) ? a.v : b.v; }
R4D_HD Lanes maximum(Lanes a, Lanes b) { return (a.v > b.v) ? a.v : b.v; }
R4D_HD Lanes absolute(Lanes a) { return (a.v < NativeVector{}) ? -a.v : a.v; }
R4D_HD Lanes square_root(Lanes a) {
  for (int i = 0; i < 8; ++i) a.v[i] = sizeof(R4D_SCALAR) == 4 ? __builtin_sqrtf(a.v[i]) : __builtin_sqrt(a.v[i]);
  return a;
}
R4D_HD Lanes reciprocal(Lanes x) { return (NativeVector{} + R4D_SCALAR(1)) / x.v; }
R4D_HD Lanes exponential2(Lanes x) {
  for (int i = 0; i < 8; ++i) x.v[i] = sizeof(R4D_SCALAR) == 4 ? __builtin_exp2f(x.v[i]) : __builtin_exp2(x.v[i]);
  return x;
}

R4D_HD Lanes load(const R4D_SCALAR* p) { return *reinterpret_cast<const NativeVector*>(p); }
R4D_HD void store(R4D_SCALAR* p, Lanes a) { *reinterpret_cast<NativeVector*>(p) = a.v; }
R4D_HD Lanes load_unaligned(const R4D_SCALAR* p) {
  Lanes r;
  __builtin_memcpy(&r.v, p, sizeof(r.v));
  return r;
}
R4D_HD void store_unaligned(R4D_SCALAR* p, Lanes a) { __builtin_memcpy(p, &a.v, sizeof(a.v)); }

// Rows of four pixels: lane 4 r + c comes from p[r * stride + c].
R4D_HD Lanes load_rows(const R4D_SCALAR* p, int64_t stride) {
  Lanes r;
  for (int i = 0; i < 8; ++i) r.v[i] = p[(i / 4) * stride + i % 4];
  return r;
}
R4D_HD void store_rows(R4D_SCALAR* p, int64_t stride, Lanes a) {
  for (int i = 0; i < 8; ++i) p[(i / 4) * stride + i % 4] = a.v[i];
}

R4D_HD R4D_SCALAR sum(Lanes a) {
  return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
}
R4D_HD void sum16(const Lanes* a, R4D_SCALAR* out) {
  for (int i = 0; i < 16; ++i) out[i] = sum(a[i]);
}

}  // namespace R4D_ISA
}  // namespace recon4d
