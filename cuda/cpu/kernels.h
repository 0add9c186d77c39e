// The kernel table of one translation unit: everything above this line is compiled with its instruction set.
#pragma once
#include "backward.h"
#include "forward.h"
#include "gradients.h"
#include "project.h"

namespace recon4d {
inline namespace R4D_ISA {

inline int64_t scratch_bytes(int channels) {
  const int64_t colors = static_cast<int64_t>(kBlocks + 1) * channels * static_cast<int64_t>(sizeof(Lanes));
  const int64_t forward = sizeof(ForwardScratch), backward = sizeof(BackwardScratch);
  return (forward > backward ? forward : backward) + colors;
}

inline void forward_any(const Frame<Scalar>& f, void* scratch, int tile) {
  f.surfels.channels == 3 ? forward_tile<3>(f, scratch, tile) : forward_tile<0>(f, scratch, tile);
}

inline void backward_any(const Frame<Scalar>& f, const Backward<Scalar>& g, void* scratch, int tile) {
  f.surfels.channels == 3 ? backward_tile<3>(f, g, scratch, tile) : backward_tile<0>(f, g, scratch, tile);
}

inline Kernels<Scalar> make_kernels(const char* name) {
  return {name, kLanes, scratch_bytes, project_range, forward_any, backward_any, surfel_gradients};
}

}  // namespace R4D_ISA
}  // namespace recon4d
