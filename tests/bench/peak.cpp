// Peak single-precision fused multiply-add rate of this machine, all threads together, in GFLOP/s.
// Independent chains in registers, twelve per thread: enough to hide the latency of any processor so far.
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

typedef float Vector __attribute__((vector_size(64)));

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  constexpr int kChains = 12, kRounds = 4'000'000;
  double best = 1e30, sink = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double start = omp_get_wtime();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
    {
      Vector a[kChains];
      for (int i = 0; i < kChains; ++i) a[i] = Vector{} + (1.0f + 1e-3f * i);
      const Vector m = Vector{} + 0.9999f, b = Vector{} + 1e-5f;
      for (int k = 0; k < kRounds; ++k) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) a[i] = a[i] * m + b;
      }
      for (int i = 0; i < kChains; ++i) sink += a[i][0];
    }
    best = std::min(best, omp_get_wtime() - start);
  }
  std::printf("%.1f\n", 2.0 * 16 * kChains * kRounds * threads / best / 1e9 + (sink == 0.5));
}
