// The kernel table of one translation unit: everything above this line is compiled with its instruction set.
#pragma once
#include "compose.h"
#include "normals.h"
#include "skin.h"
#include "ssim.h"

namespace recon4d {
inline namespace R4D_ISA {

inline TrainingKernels<Scalar> make_training_kernels(const char* name) {
  return {name,         kLanes,       skin_group,        skin_group_backward, ssim_scratch,     ssim_strip,
          ssim_gradient_strip, absolute_row, normal_weight_row, normal_row,          normal_depth_row, compose_row};
}

}  // namespace R4D_ISA
}  // namespace recon4d
