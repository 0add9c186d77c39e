// What lets one source serve g++ for several instruction sets and nvcc.
//
// The CPU kernels are compiled once per instruction set.  Every inline function that they use lives in the inline
// namespace R4D_ISA, so that the linker can never hand the AVX-512 copy of a function to the portable build.
#pragma once

// R4D_HD_COLD: for code that rarely runs and need not be copied into every place that calls it.
#ifdef __CUDACC__
#define R4D_HD __host__ __device__ __forceinline__
#define R4D_HD_COLD __host__ __device__ inline
#elif defined(__GNUC__)
#define R4D_HD inline __attribute__((always_inline))
#define R4D_HD_COLD inline
#else
#define R4D_HD inline
#define R4D_HD_COLD inline
#endif

#ifndef R4D_ISA
#define R4D_ISA generic
#endif
