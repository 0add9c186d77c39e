// Arrays of Python as pointers: types of arguments, and the check of their shapes.
//
// Arrays come in through DLPack, so the module is not linked to torch and serves every version of it.  Every array is
// taken with noconvert: without it an array of the wrong type would be copied, filled and thrown away without a word.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace recon4d {

namespace nb = nanobind;

template <class T, int Dims>
using In = nb::ndarray<const T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;
template <class T, int Dims>
using Out = nb::ndarray<T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;
template <class T, int Dims>
using MaybeIn = std::optional<In<T, Dims>>;
template <class T, int Dims>
using MaybeOut = std::optional<Out<T, Dims>>;

template <class Array>
auto checked(const Array& a, const char* name, std::vector<int64_t> shape) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (static_cast<int64_t>(a.shape(i)) != shape[i])
      throw nb::value_error((std::string(name) + ": dimension " + std::to_string(i) + " is " +
                             std::to_string(a.shape(i)) + ", expected " + std::to_string(shape[i])).c_str());
  return a.data();
}
template <class Array>
auto checked(const std::optional<Array>& a, const char* name, std::vector<int64_t> shape) -> decltype(a->data()) {
  return a ? checked(*a, name, std::move(shape)) : nullptr;
}

inline int checked_threads(int threads) {
  if (threads < 1) throw nb::value_error("threads: must be at least 1");
  return threads;
}

}  // namespace recon4d
