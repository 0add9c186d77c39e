// The training steps' kernels for AVX2.
#define R4D_ISA avx2
#define R4D_LANES_AVX2
#include "table.h"

namespace recon4d {
const TrainingKernels<float>& training_avx2() {
  static const TrainingKernels<float> table = make_training_kernels("avx2");
  return table;
}
}  // namespace recon4d
