// The training steps' kernels for double precision on any processor.
#define R4D_ISA portable_double
#define R4D_SCALAR double
#include "table.h"

namespace recon4d {
const TrainingKernels<double>& training_double() {
  static const TrainingKernels<double> table = make_training_kernels("double");
  return table;
}
}  // namespace recon4d
