// The training steps' kernels for any processor.
#define R4D_ISA portable
#define R4D_SCALAR float
#include "table.h"

namespace recon4d {
const TrainingKernels<float>& training_portable() {
  static const TrainingKernels<float> table = make_training_kernels("portable");
  return table;
}
}  // namespace recon4d
