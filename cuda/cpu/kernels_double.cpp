// The kernels for double precision on any processor.
#define R4D_ISA portable_double
#define R4D_SCALAR double
#include "kernels.h"

namespace recon4d {
const Kernels<double>& kernels_double() {
  static const Kernels<double> table = make_kernels("double");
  return table;
}
}  // namespace recon4d
