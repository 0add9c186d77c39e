// Buffers of one frame, kept from forward to backward and reused from frame to frame: after the first few frames nothing
// is allocated.  Also the host's part of the work: choice of kernels, sorting, binning, threads.
#pragma once
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "frame.h"
#include "memory.h"

namespace recon4d {

// Grows, never shrinks; contents are lost when it grows.  Aligned to a cache line.
template <class T>
class Buffer {
 public:
  T* resize(int64_t count) {
    if (count > capacity_) {
      const int64_t grown = count + count / 4;
      data_.reset();  // first, or old and new would be held together
      capacity_ = 0;
      const size_t size = static_cast<size_t>(grown) * sizeof(T);
      data_ = {static_cast<T*>(allocate_aligned(size)), Free{size}};
      capacity_ = grown;
    }
    return data_.get();
  }
  T* data() const { return data_.get(); }
  int64_t bytes() const { return capacity_ * static_cast<int64_t>(sizeof(T)); }

 private:
  struct Free {
    size_t size = 0;
    void operator()(T* p) const noexcept { free_aligned(p, size); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t capacity_ = 0;
};

template <class T>
struct DepthKey;
template <>
struct DepthKey<float> {
  using Type = uint32_t;
};
template <>
struct DepthKey<double> {
  using Type = uint64_t;
};

// The fastest kernels that this processor runs, or those named ("avx512", "avx2", "portable"); throws
// std::invalid_argument where the name is unknown or the processor cannot run them.
template <class T>
const Kernels<T>& choose_kernels(const char* name);

// Names of the single-precision kernels that this processor runs, fastest first.
std::vector<std::string> kernel_names();

template <class T>
class Workspace {
 public:
  explicit Workspace(const Kernels<T>& kernels) : kernels_(&kernels) {}

  // Draws into `out`.  Returns how many surfels hold values that cannot be drawn (then `out` means nothing).
  int64_t forward(const SurfelArrays<T>& surfels, const CameraArgs<T>& camera, const Limits<T>& limits, int width, int height,
                  const T* background, const Planes<T>& out, T* radii, int threads);

  // Gradients of the frame that forward() drew last; every argument that forward() had must still hold what it held.
  // camera_gradient: kCameraGradientSize numbers, overwritten.
  void backward(const SurfelArrays<T>& surfels, const T* background, const Planes<T>& out, const Planes<T>& upstream,
                const SurfelGradients<T>& gradients, T* camera_gradient, int threads);

  // Whether the last forward() drew such a frame.
  bool matches(int64_t count, int width, int height, int channels) const {
    return drawn_ && frame_.surfels.count == count && frame_.width == width && frame_.height == height &&
           frame_.surfels.channels == channels;
  }

  int64_t bytes() const;
  int64_t instance_count() const { return instance_count_; }
  // (surfel, block) pairs that the last forward() blended, and how many pixels a block has.
  int64_t visit_count() const;
  const char* kernel_name() const { return kernels_->name; }
  int lanes() const { return kernels_->lanes; }

 private:
  using Key = typename DepthKey<T>::Type;
  void bin(int threads);

  const Kernels<T>* kernels_;
  Frame<T> frame_{};
  bool drawn_ = false;
  int64_t instance_count_ = 0;
  Buffer<Record<T>> records_;
  Buffer<TileRect> rects_;
  Buffer<Key> keys_, keys_other_;
  Buffer<uint32_t> order_, order_other_, instances_, hits_, slot_of_;
  Buffer<int64_t> first_, tile_begin_, cursors_;
  Buffer<T> pixel_sums_, slots_, camera_partials_, mixed_colors_;
  Buffer<char> scratch_;
};

extern template class Workspace<float>;
extern template class Workspace<double>;

}  // namespace recon4d
