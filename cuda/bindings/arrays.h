// Arrays of Python as pointers: types of arguments, and the check of their shapes.
//
// Arrays come in through DLPack, so the module is not linked to torch and serves every version of it.  Every array is
// taken with noconvert: without it an array of the wrong type would be copied, filled and thrown away without a word.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace recon4d {

namespace nb = nanobind;

// A C-contiguous array on the CPU that the caller keeps alive during the call.  T is const for what is only read.
//
// Torch's tensors come through the table of functions that DLPack 1.2 gives frameworks: a fifth of the time of asking
// each for a capsule, which adds up where a step takes a hundred arrays.  Everything else, and torch before 2.10, comes
// through nanobind's ndarray.
template <class T, int Dims>
class Array {
 public:
  using Slow = nb::ndarray<T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;

  T* data() const { return data_; }
  int64_t shape(size_t i) const { return shape_[i]; }
  T& operator()(int64_t i, int64_t j) const {
    static_assert(Dims == 2, "two indices");
    return data_[i * shape_[1] + j];
  }

  // Takes over what a tensor says of itself; false where it is not such an array.
  bool assign(const nb::dlpack::dltensor& t) {
    constexpr int32_t kCpu = 1;
    if (t.ndim != Dims || t.device.device_type != kCpu || t.dtype != nb::dtype<T>()) return false;
    int64_t expected = 1, count = 1;
    for (int i = 0; i < Dims; ++i) count *= t.shape[i];
    for (int i = Dims - 1; i >= 0; --i) {
      shape_[i] = t.shape[i];
      if (count > 0 && t.strides && t.shape[i] != 1 && t.strides[i] != expected) return false;
      expected *= t.shape[i];
    }
    data_ = reinterpret_cast<T*>(static_cast<char*>(t.data) + t.byte_offset);
    return true;
  }
  void assign(Slow array) {
    for (int i = 0; i < Dims; ++i) shape_[i] = static_cast<int64_t>(array.shape(static_cast<size_t>(i)));
    data_ = array.data();
    held_ = std::move(array);
  }

 private:
  T* data_ = nullptr;
  int64_t shape_[Dims] = {};
  Slow held_;
};

// The table, as far as it is used here; see DLPack's dlpack.h.
struct ExchangeTable {
  uint32_t major, minor;
  const ExchangeTable* previous;
  void *allocate, *from_object, *to_object;
  int (*view)(void* object, nb::dlpack::dltensor* out);
};

// The table of an object's type, or null.  The last type is remembered: nearly all are torch.Tensor.
inline const ExchangeTable* exchange_table(nb::handle object) {
  static PyTypeObject* known = nullptr;  // a reference that is never given back; guarded by the GIL, as all of this
  static const ExchangeTable* table = nullptr;
  PyTypeObject* const type = Py_TYPE(object.ptr());
  if (type == known) return table;
  PyObject* const capsule = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__");
  const ExchangeTable* found = nullptr;
  if (capsule) {
    found = static_cast<const ExchangeTable*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
    Py_DECREF(capsule);
  }
  PyErr_Clear();
  while (found && found->major > 1) found = found->previous;
  if (!found || !found->view) return nullptr;
  Py_INCREF(type);
  Py_XDECREF(known);
  known = type;
  return table = found;
}

template <class T, int Dims>
using In = Array<const T, Dims>;
template <class T, int Dims>
using Out = Array<T, Dims>;
template <class T, int Dims>
using MaybeIn = std::optional<In<T, Dims>>;
template <class T, int Dims>
using MaybeOut = std::optional<Out<T, Dims>>;

template <class Array>
auto checked(const Array& a, const char* name, std::vector<int64_t> shape) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (a.shape(i) != shape[i])
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

namespace nanobind::detail {

template <class T, int Dims>
struct type_caster<recon4d::Array<T, Dims>> {
  using Type = recon4d::Array<T, Dims>;
  using Slow = make_caster<typename Type::Slow>;
  NB_TYPE_CASTER(Type, Slow::Name)

  template <class Flags>
  bool from_python(handle source, Flags flags, cleanup_list* cleanup) noexcept {
    if (const recon4d::ExchangeTable* table = recon4d::exchange_table(source)) {
      dlpack::dltensor tensor;
      if (table->view(source.ptr(), &tensor) == 0) return value.assign(tensor);
      PyErr_Clear();
    }
    Slow slow;
    if (!slow.from_python(source, flags, cleanup)) return false;
    value.assign(std::move(slow.value));
    return true;
  }
};

}  // namespace nanobind::detail
