// What the bindings need of the CUDA runtime: which device is current, and how many there are.
#pragma once
#ifdef R4D_EMULATE
#include "emulator.h"
#else
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace recon4d::gpu {

using Stream = cudaStream_t;

inline void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

// Makes a device current for as long as it lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    check(cudaGetDevice(&before_));
    if (device != before_) check(cudaSetDevice(device));
  }
  ~DeviceGuard() { cudaSetDevice(before_); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
};

// Devices of this machine; 0 where there is no driver.
inline int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // forget it: having no GPU is no error
    return 0;
  }
  return count;
}

}  // namespace recon4d::gpu
#endif
