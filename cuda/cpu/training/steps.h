// The steps of training that are not rasterizing, as calls: the host's part of skinning and of the image losses.
#pragma once
#include <cstdint>

#include "kernels.h"

namespace recon4d {

// The fastest kernels that this processor runs, or those named; throws std::invalid_argument where they cannot run.
template <class T>
const TrainingKernels<T>& choose_training_kernels(const char* name);

// What a skinning call is given; see SkinInputs.
template <class T>
struct Skin {
  int64_t points, times, bones;
  bool dual;
  const T *centers, *rotations, *correction, *log_radii, *rest;
  const int64_t* slots;
  const T *bone_rotations, *bone_translations;  // [times, bones, 4 and 3]
};

// False where a slot names no bone.
template <class T>
bool skin(const TrainingKernels<T>& kernels, const Skin<T>& in, const SkinOutputs<T>& out, int threads);

// Gradients of a skinning; null where nobody asks.  All are overwritten.
template <class T>
struct SkinResults {
  T *centers, *rotations, *correction, *log_radii, *bone_rotations, *bone_translations;
};

// weights: what skin() wrote.
template <class T>
void skin_backward(const TrainingKernels<T>& kernels, const Skin<T>& in, const T* weights, const T* v_centers,
                   const T* v_rotations, const T* v_turns, const SkinResults<T>& out, int threads);

// Planes [channels, height, width], C-contiguous.
template <class T>
struct ImagePair {
  int channels, height, width;
  const T *image, *target;
};

// (1 - share) * mean absolute difference + share * mean of (1 - SSIM) / 2, and the mean squared difference.
struct PhotometricValue {
  double loss, mean_square;
};

// gradient [channels, height, width]: of the loss with respect to the image, or null.
template <class T>
PhotometricValue photometric(const TrainingKernels<T>& kernels, const ImagePair<T>& images, double share, T* gradient,
                             int threads);

// What the loss of normals compares: planes normal [3, height, width], alpha and depth [height, width].
template <class T>
struct NormalMaps {
  int height, width;
  const T *normal, *alpha, *depth;
  double fx, fy, cx, cy;
};

// Mean of 1 - cosine, as losses.normal_consistency.  Gradients of the shapes of normal and depth, overwritten, or null.
template <class T>
double normal_consistency(const TrainingKernels<T>& kernels, const NormalMaps<T>& maps, T* v_normal, T* v_depth, int threads);

// Rows of premultiplied red, green, blue and coverage, `stride` bytes apart, over a background [3]: planes color
// [3, height, width] and mask [height, width].
template <class T>
void compose(const TrainingKernels<T>& kernels, const uint8_t* pixels, int64_t stride, int height, int width,
             const T* background, T* color, T* mask, int threads);

}  // namespace recon4d
