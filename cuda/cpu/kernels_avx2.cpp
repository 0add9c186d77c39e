// The kernels for AVX2.
#define R4D_ISA avx2
#define R4D_LANES_AVX2
#include "kernels.h"

namespace recon4d {
const Kernels<float>& kernels_avx2() {
  static const Kernels<float> table = make_kernels("avx2");
  return table;
}
}  // namespace recon4d
