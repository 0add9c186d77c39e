// The operations that the shared formulas need, for plain float and double.  Lane types (cuda/cpu/lanes_*.h) bring the
// same names with the same meaning, so that a formula written once runs on one number or on sixteen.
#pragma once
#include <cmath>

#include "recon4d/platform.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
struct NumberTraits {
  using Scalar = T;
  using Mask = bool;
};

// On a GPU the fused operation is the cheap one, on a CPU without it a library call.  The CUDA module is compiled without
// contraction elsewhere, so that every kernel that repeats a formula gets the same bits.
#ifdef __CUDA_ARCH__
#define R4D_FMA(a, b, c) ::fma(a, b, c)
#else
#define R4D_FMA(a, b, c) (a) * (b) + (c)
#endif

#define R4D_SCALAR_OPS(T, SQRT, LOG2, ABS)                                   \
  R4D_HD T fma(T a, T b, T c) { return R4D_FMA(a, b, c); }                   \
  R4D_HD T minimum(T a, T b) { return a < b ? a : b; }                       \
  R4D_HD T maximum(T a, T b) { return a > b ? a : b; }                       \
  R4D_HD T square_root(T a) { return SQRT(a); }                              \
  R4D_HD T absolute(T a) { return ABS(a); }                                  \
  R4D_HD T logarithm2(T a) { return LOG2(a); }                               \
  R4D_HD T select(bool m, T a, T b) { return m ? a : b; }
R4D_SCALAR_OPS(float, sqrtf, log2f, fabsf)
R4D_SCALAR_OPS(double, ::sqrt, ::log2, ::fabs)
#undef R4D_SCALAR_OPS
#undef R4D_FMA

}  // namespace R4D_ISA
}  // namespace recon4d
