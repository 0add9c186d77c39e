// The kernels for any processor.
#define R4D_ISA portable
#define R4D_SCALAR float
#include "kernels.h"

namespace recon4d {
const Kernels<float>& kernels_portable() {
  static const Kernels<float> table = make_kernels("portable");
  return table;
}
}  // namespace recon4d
