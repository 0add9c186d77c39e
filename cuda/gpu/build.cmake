# The CUDA module, built next to the CPU module where there is an nvcc.  It holds its own copy of the CUDA runtime, so it
# loads on a machine without a GPU or a driver.
set(RECON4D_CUDA AUTO CACHE STRING "Build the CUDA module: AUTO (where nvcc is found), ON (or fail) or OFF")
set_property(CACHE RECON4D_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT RECON4D_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "RECON4D_CUDA: expected AUTO, ON or OFF, got ${RECON4D_CUDA}")
endif()
if(RECON4D_CUDA STREQUAL "OFF")
  return()
endif()

set(cuda_oldest 12.4)  # whose CUB counts in 64 bits
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # Machine code of each generation runs on its later cards too (80 on 86 and 89); from the PTX of the last a driver makes
  # code for newer ones.  More would only cost build time: a minute of one core for these three.
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90)
endif()
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
endif()
if(NOT CMAKE_CUDA_COMPILER OR CMAKE_CUDA_COMPILER_VERSION VERSION_LESS cuda_oldest)
  set(cuda_missing "no working nvcc of version ${cuda_oldest} or newer was found")
  if(RECON4D_CUDA STREQUAL "ON")
    message(FATAL_ERROR "RECON4D_CUDA=ON, but ${cuda_missing}")
  endif()
  message(STATUS "Building without the CUDA rasterizer: ${cuda_missing}")
  return()
endif()
find_package(CUDAToolkit REQUIRED)

set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
add_library(recon4d_gpu OBJECT gpu/rasterize.cu gpu/optimizer.cu gpu/ssim.cu)
set_target_properties(recon4d_gpu PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_VISIBILITY_PRESET hidden)
target_include_directories(recon4d_gpu PRIVATE include)
# Fused multiply-add is written out where it is wanted, as on the CPU: the backward pass must replay the forward's bits.
target_compile_options(recon4d_gpu PRIVATE -O3 -fmad=false --threads=2)

nanobind_add_module(_ext_cuda NB_STATIC bindings/module_cuda.cpp $<TARGET_OBJECTS:recon4d_gpu>)
target_include_directories(_ext_cuda PRIVATE include)
target_compile_definitions(_ext_cuda PRIVATE R4D_MODULE=_ext_cuda)
target_link_libraries(_ext_cuda PRIVATE CUDA::cudart_static)
install(TARGETS _ext_cuda LIBRARY DESTINATION recon4d/_native)
