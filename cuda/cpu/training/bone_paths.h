// Where bones are at given times, and the gradients of that to the control poses of their paths.
#pragma once
#include <cstdint>

namespace recon4d {

// Control poses of uniform cumulative cubic B-splines, C-contiguous: rotations [count, controls, 4] wxyz, of any length,
// and translations [count, controls, 3]; knots at start + step * i.
template <class T>
struct Controls {
  const T *rotations, *translations;
  int64_t count, controls;
  double start, step;
};

// Gradients of the same shapes; null where nobody asks.  Added to what is there.
template <class T>
struct ControlGradients {
  T *rotations, *translations;
};

// world_from_canonical of every bone at every time: root(t) o path(t) o inverse(rest), rest unturned at `rest` [bones, 3].
// rotations [times, bones, 4] of unit length, translations [times, bones, 3].  False where a time is not finite.
template <class T>
bool bone_transforms(const Controls<T>& bones, const Controls<T>& root, const T* rest, const double* times,
                     int64_t time_count, T* rotations, T* translations);

template <class T>
void bone_transforms_backward(const Controls<T>& bones, const Controls<T>& root, const T* rest, const double* times,
                              int64_t time_count, const T* v_rotations, const T* v_translations,
                              const ControlGradients<T>& v_bones, const ControlGradients<T>& v_root);

}  // namespace recon4d
