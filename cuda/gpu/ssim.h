// Structural similarity of images with an 11 x 11 Gaussian window, forward and backward.
#pragma once
#include <cstdint>

namespace recon4d::gpu {

// Planes [planes, height, width].  similarity: the SSIM map.  partials: [3, planes, height, width], its derivatives by the
// window's mean, mean square and mean product, which ssim_backward() needs; null where no gradient is wanted.
template <class T>
void ssim_forward(int planes, int height, int width, const T* image, const T* target, T* similarity, T* partials,
                  int64_t stream);

// v_image = gradient to image from v_similarity; overwritten.
template <class T>
void ssim_backward(int planes, int height, int width, const T* image, const T* target, const T* partials,
                   const T* v_similarity, T* v_image, int64_t stream);

}  // namespace recon4d::gpu
