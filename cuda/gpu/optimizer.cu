// Adam for the rows that were seen: one thread per number, then one per row to count the step.
//
// Rows that no pixel saw have no gradient; decaying their moments would let them drift for many steps after they were last
// seen, and costs the memory traffic of the whole scene.
#include "optimizer.h"

#include <cmath>

#include "device.h"
#include "recon4d/scalar.h"

namespace recon4d::gpu {

namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) adam_kernel(int64_t rows, int64_t width, T* parameters, const T* gradients,
                                                        T* first_moments, T* second_moments, const int32_t* steps,
                                                        const T* seen, T rate, T beta1, T beta2, T epsilon) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows * width) return;
  const int64_t row = i / width;
  if (!(seen[row] > T(0))) return;
  const T g = gradients[i], step = static_cast<T>(steps[row] + 1);
  const T m = beta1 * first_moments[i] + (T(1) - beta1) * g;
  const T v = beta2 * second_moments[i] + (T(1) - beta2) * g * g;
  first_moments[i] = m;
  second_moments[i] = v;
  const T m_unbiased = m / (T(1) - pow(beta1, step)), v_unbiased = v / (T(1) - pow(beta2, step));
  parameters[i] -= rate * m_unbiased / (square_root(v_unbiased) + epsilon);
}

template <class T>
__global__ void __launch_bounds__(kThreads) count_step_kernel(int64_t rows, int32_t* steps, const T* seen) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows && seen[row] > T(0)) ++steps[row];
}

}  // namespace

template <class T>
void adam_step(int64_t rows, int64_t width, T* parameters, const T* gradients, T* first_moments, T* second_moments,
               int32_t* steps, const T* seen, const AdamSettings& settings, int64_t stream_handle) {
  const Stream stream = stream_of(stream_handle);
  if (rows <= 0 || width <= 0) return;
  const unsigned blocks = static_cast<unsigned>((rows * width + kThreads - 1) / kThreads);
  R4D_LAUNCH(adam_kernel<T>, blocks, kThreads, stream, rows, width, parameters, gradients, first_moments, second_moments, steps,
             seen, T(settings.learning_rate), T(settings.beta1), T(settings.beta2), T(settings.epsilon));
  R4D_LAUNCH(count_step_kernel<T>, static_cast<unsigned>((rows + kThreads - 1) / kThreads), kThreads, stream, rows, steps, seen);
}

#define R4D_INSTANTIATE(T) \
  template void adam_step<T>(int64_t, int64_t, T*, const T*, T*, T*, int32_t*, const T*, const AdamSettings&, int64_t);
R4D_INSTANTIATE(float)
R4D_INSTANTIATE(double)
#undef R4D_INSTANTIATE

}  // namespace recon4d::gpu
