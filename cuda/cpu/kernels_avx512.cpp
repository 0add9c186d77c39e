// The kernels for AVX-512.
#define R4D_ISA avx512
#define R4D_LANES_AVX512
#include "kernels.h"

namespace recon4d {
const Kernels<float>& kernels_avx512() {
  static const Kernels<float> table = make_kernels("avx512");
  return table;
}
}  // namespace recon4d
