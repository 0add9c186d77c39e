// What the bindings may call: the host's part of the rasterizer, the optimiser step and SSIM.
//
// Nothing here allocates, waits for the device or keeps anything between calls.  The caller brings all memory, on the
// device that is current, and the stream; how much memory, the *_bytes functions say.
#pragma once
#include "frame.h"
#include "optimizer.h"
#include "ssim.h"

namespace recon4d::gpu {

// Memory kept from project() to backward().
template <class T>
int64_t projection_bytes(int64_t slots);
// Memory that project() fills and draw() empties.
template <class T>
int64_t projection_scratch_bytes(int64_t slots);
// Memory kept from draw() to backward(), and what draw() needs besides.
int64_t binning_bytes(int64_t capacity, int64_t tiles);
int64_t binning_scratch_bytes(int64_t capacity, int64_t tiles);

// Projects the surfels of all frames and orders them by depth.  status, on the device: how many surfels cannot be drawn
// and how many instances there are, which is the capacity that draw() needs.
template <class T>
void project(const Scene<T>& scene, void* kept, void* scratch, T* radii, int64_t* status, int64_t stream);

// Draws what project() left.  With less capacity than instances the farthest surfels are left out.
template <class T>
void draw(const Scene<T>& scene, const void* kept, void* scratch, int64_t capacity, void* binned, void* bin_scratch,
          const Planes<T>& out, T* pixel_sums, int64_t stream);

// sums: [slots, gradient_stride(channels)], zeros.  Gradients are added to what is there.
template <class T>
void backward(const Scene<T>& scene, const void* kept, const T* radii, int64_t capacity, const void* binned,
              const Planes<T>& out, const T* pixel_sums, const Planes<T>& upstream, T* sums,
              const SurfelGradients<T>& gradients, int64_t stream);

}  // namespace recon4d::gpu
