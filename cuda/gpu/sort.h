// Sorting and summing on the device: CUB's, or the emulator's.  Apart, because CUB takes longer to compile than our kernels.
#pragma once
#include "device.h"

#ifndef R4D_EMULATE
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

namespace recon4d::gpu {

// Stable sort by the lowest `bits` bits of the keys.  With temp null, only says how much room it needs.
template <class Key>
void sort_pairs(void* temp, size_t& bytes, const Key* keys_in, Key* keys_out, const uint32_t* in, uint32_t* out, int64_t count,
                int bits, Stream stream) {
  check(cub::DeviceRadixSort::SortPairs(temp, bytes, keys_in, keys_out, in, out, count, 0, bits, stream));
}

// out[i] = sum of in[0 .. i).
inline void exclusive_sum(void* temp, size_t& bytes, const uint64_t* in, uint64_t* out, int64_t count, Stream stream) {
  check(cub::DeviceScan::ExclusiveSum(temp, bytes, in, out, count, stream));
}

}  // namespace recon4d::gpu
#endif
