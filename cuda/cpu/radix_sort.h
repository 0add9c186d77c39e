// Stable parallel radix sort of (key, value) pairs.  The result does not depend on the number of threads.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "threads.h"

namespace recon4d {

// Sorts `count` pairs by key, ascending; the arrays `other_*` are scratch.  Returns the buffer that holds the values.
template <class Key>
uint32_t* sort_pairs(Key* keys, Key* other_keys, uint32_t* values, uint32_t* other_values, int64_t count, int threads) {
  constexpr int kBits = 11, kBuckets = 1 << kBits;
  std::vector<int64_t> histogram(static_cast<size_t>(threads) * kBuckets);
  for (int shift = 0; shift < static_cast<int>(sizeof(Key)) * 8; shift += kBits) {
#pragma omp parallel num_threads(threads)
    {
      const int t = omp_get_thread_num(), team = omp_get_num_threads();
      const int64_t begin = count * t / team, end = count * (t + 1) / team;
      int64_t* mine = histogram.data() + static_cast<int64_t>(t) * kBuckets;
      for (int b = 0; b < kBuckets; ++b) mine[b] = 0;
      for (int64_t i = begin; i < end; ++i) ++mine[(keys[i] >> shift) & (kBuckets - 1)];
#pragma omp barrier
#pragma omp single
      {
        int64_t sum = 0;
        for (int b = 0; b < kBuckets; ++b)
          for (int u = 0; u < team; ++u) {
            int64_t& h = histogram[static_cast<size_t>(u) * kBuckets + b];
            const int64_t n = h;
            h = sum;
            sum += n;
          }
      }
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = mine[(keys[i] >> shift) & (kBuckets - 1)]++;
        other_keys[at] = keys[i];
        other_values[at] = values[i];
      }
    }
    std::swap(keys, other_keys);
    std::swap(values, other_values);
  }
  return values;
}

}  // namespace recon4d
