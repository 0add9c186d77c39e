// The training steps' kernels for AVX-512.
#define R4D_ISA avx512
#define R4D_LANES_AVX512
#include "table.h"

namespace recon4d {
const TrainingKernels<float>& training_avx512() {
  static const TrainingKernels<float> table = make_training_kernels("avx512");
  return table;
}
}  // namespace recon4d
