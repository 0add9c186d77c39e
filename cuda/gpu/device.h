// The place that tells a GPU from the block emulator of the tests.
//
// Kernels are written in plain CUDA.  Compiled by nvcc they run on a GPU; compiled by g++ with R4D_EMULATE the very same
// source runs on the CPU, threads as fibers (tests/cuda/emulator/emulator.h).  Only launches and block-shared memory go
// through names of this file, and the library's sorts through those of sort.h.
#pragma once
#include <cstddef>
#include <cstdint>

#ifdef R4D_EMULATE
#include "emulator.h"
#else
#include <cuda_runtime.h>

#include "runtime.h"

// One object of block-shared memory, uninitialised.
#define R4D_SHARED(Type, name) __shared__ Type name
#define R4D_LAUNCH(kernel, grid, block, stream, ...)        \
  do {                                                      \
    (kernel)<<<(grid), (block), 0, (stream)>>>(__VA_ARGS__); \
    ::recon4d::gpu::check(cudaGetLastError());              \
  } while (0)

namespace recon4d::gpu {

inline Stream stream_of(int64_t handle) { return reinterpret_cast<Stream>(handle); }

inline void fill_bytes(void* p, int value, size_t bytes, Stream stream) { check(cudaMemsetAsync(p, value, bytes, stream)); }

}  // namespace recon4d::gpu
#endif

namespace recon4d::gpu {

constexpr unsigned kWholeWarp = 0xffffffffu;

// Halves the values that a lane holds: it keeps one half, gives the other to the lane `bit` away, and adds what it is given.
template <int kHalf, int bit, class T>
__device__ inline void exchange_halves(T* v, int lane) {
  if constexpr (kHalf >= 1) {
    const bool upper = lane & bit;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const T give = upper ? v[i] : v[i + kHalf], keep = upper ? v[i + kHalf] : v[i];
      v[i] = keep + __shfl_xor_sync(kWholeWarp, give, bit);
    }
    exchange_halves<kHalf / 2, bit / 2>(v, lane);
  } else if constexpr (bit >= 1) {
    v[0] += __shfl_xor_sync(kWholeWarp, v[0], bit);
    exchange_halves<0, bit / 2>(v, lane);
  }
}

// The sum over the warp of each of kCount (a power of two up to 32) values, scattered: lane i gets the sum of value
// i * kCount / 32.  It takes about kCount + log2(32 / kCount) shuffles where separate sums would take 5 kCount.
template <int kCount, class T>
__device__ inline T reduce_scatter(T (&v)[kCount], int lane) {
  static_assert(kCount <= 32 && (kCount & (kCount - 1)) == 0, "a power of two");
  exchange_halves<kCount / 2, 16>(v, lane);
  return v[0];
}

}  // namespace recon4d::gpu
