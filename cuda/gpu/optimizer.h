// One step of Adam over rows of parameters, of which only some were seen.
#pragma once
#include <cstdint>

namespace recon4d::gpu {

struct AdamSettings {
  double learning_rate, beta1, beta2, epsilon;
};

// Arrays [rows, width]; rows with seen[row] <= 0 keep parameters and moments as they are.  steps [rows] counts how often a
// row was seen, for the bias correction, and is advanced here.
template <class T>
void adam_step(int64_t rows, int64_t width, T* parameters, const T* gradients, T* first_moments, T* second_moments,
               int32_t* steps, const T* seen, const AdamSettings& settings, int64_t stream);

}  // namespace recon4d::gpu
