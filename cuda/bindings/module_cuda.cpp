// recon4d._native._ext_cuda: the CUDA rasterizer for Python.  Checks shapes, turns arrays into pointers, holds no logic.
//
// Arrays come in through DLPack on the device they are on; the caller allocates everything and names the stream, so the
// module is linked to no framework.  Compiled with R4D_EMULATE it is the module of the tests' block emulator, which works
// on arrays of the CPU.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../gpu/api.h"
#include "../gpu/runtime.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace recon4d;
using namespace recon4d::gpu;

#ifdef R4D_EMULATE
using Device = nb::device::cpu;
#else
using Device = nb::device::cuda;
#endif

// Any number of dimensions: arrays of surfels may have one for the frame.
template <class T>
using In = nb::ndarray<const T, nb::c_contig, Device>;
template <class T>
using Out = nb::ndarray<T, nb::c_contig, Device>;
template <class T>
using MaybeIn = std::optional<In<T>>;
template <class T>
using MaybeOut = std::optional<Out<T>>;
using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, Device>;

[[noreturn]] void refuse(const char* name, const std::string& what) {
  throw nb::value_error((std::string(name) + ": " + what).c_str());
}

template <class Array>
auto checked(const Array& a, const char* name, const std::vector<int64_t>& shape) {
  bool same = a.ndim() == shape.size();
  for (size_t i = 0; same && i < shape.size(); ++i) same = static_cast<int64_t>(a.shape(i)) == shape[i];
  if (!same) {
    std::string expected;
    for (const int64_t side : shape) expected += " " + std::to_string(side);
    refuse(name, "expected the shape" + expected);
  }
  return a.data();
}
template <class Array>
auto checked(const std::optional<Array>& a, const char* name, const std::vector<int64_t>& shape) -> decltype(a->data()) {
  return a ? checked(*a, name, shape) : nullptr;
}

// An array of surfels with or without a leading dimension of `frames`.
template <class U, class Array>
PerFrame<U> per_frame(const Array& a, const char* name, int64_t frames, const std::vector<int64_t>& shape) {
  if (a.ndim() == shape.size()) return {checked(a, name, shape), 0};
  std::vector<int64_t> batched = {frames};
  batched.insert(batched.end(), shape.begin(), shape.end());
  int64_t stride = 1;
  for (const int64_t side : shape) stride *= side;
  return {checked(a, name, batched), stride};
}
template <class U, class Array>
PerFrame<U> per_frame(const std::optional<Array>& a, const char* name, int64_t frames, const std::vector<int64_t>& shape) {
  if (!a) return {nullptr, 0};
  return per_frame<U>(*a, name, frames, shape);
}

uint8_t* room(const Bytes& bytes, const char* name, int64_t needed) {
  if (static_cast<int64_t>(bytes.shape(0)) < needed) refuse(name, "expected at least " + std::to_string(needed) + " bytes");
  return bytes.data();
}

// The arguments of one batch of frames, and the arrays they point into.
template <class T>
class Batch {
 public:
  Batch(In<T> centers, In<T> rotations, In<T> scales, In<T> opacities, MaybeIn<T> sh, MaybeIn<T> features, MaybeIn<T> canonical,
        MaybeIn<T> offsets, MaybeIn<T> background, In<T> K, In<T> cam_from_world, int width, int height, double near_plane,
        double alpha_min, double alpha_max, double min_transmittance)
      : held_{centers, rotations, scales, opacities, K, cam_from_world}, maybe_held_{sh, features, canonical, offsets, background} {
    if (sh.has_value() == features.has_value()) throw nb::value_error("give either sh or features");
    if (K.ndim() != 3) refuse("K", "expected three dimensions");
    if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide)
      throw nb::value_error("width, height: must be between 1 and MAX_IMAGE_SIDE");
    if (centers.ndim() < 2) refuse("centers", "expected two or three dimensions");
    const int64_t b = static_cast<int64_t>(K.shape(0)), n = static_cast<int64_t>(centers.shape(centers.ndim() - 2));
    Scene<T>& s = scene_;
    s.tiles_x = (width + kTileWidth - 1) / kTileWidth;
    s.tiles_y = (height + kTileHeight - 1) / kTileHeight;
    if (b < 1 || n > INT32_MAX || b * n > INT32_MAX || b * s.tiles() >= INT32_MAX)
      throw nb::value_error("frames times surfels, and frames times tiles, must each be below 2^31");
    s.frames = static_cast<int>(b);
    s.count = static_cast<int>(n);
    s.width = width;
    s.height = height;
    s.limits = {T(near_plane), T(alpha_min), T(alpha_max), T(min_transmittance)};
    s.sh_count = sh ? static_cast<int>(sh->shape(sh->ndim() - 2)) : 0;
    s.channels = sh ? 3 : static_cast<int>(features->shape(features->ndim() - 1));
    if (sh && s.sh_count != 1 && s.sh_count != 4 && s.sh_count != 9 && s.sh_count != 16)
      throw nb::value_error("sh: the number of coefficients must be 1, 4, 9 or 16");
    if (s.channels < 1 || s.channels > kMostChannels) throw nb::value_error("features: between 1 and MAX_CHANNELS channels");
    s.centers = per_frame<const T>(centers, "centers", b, {n, 3});
    s.rotations = per_frame<const T>(rotations, "rotations", b, {n, 4});
    s.scales = per_frame<const T>(scales, "scales", b, {n, 2});
    s.opacities = per_frame<const T>(opacities, "opacities", b, {n});
    s.sh = per_frame<const T>(sh, "sh", b, {n, s.sh_count, 3});
    s.features = per_frame<const T>(features, "features", b, {n, s.channels});
    s.canonical = per_frame<const T>(canonical, "world_from_canonical", b, {n, 4});
    s.offsets = per_frame<const T>(offsets, "screen_offsets", b, {n, 2});
    s.background = checked(background, "background", {s.channels});
    s.K = checked(K, "K", {b, 3, 3});
    s.cam_from_world = checked(cam_from_world, "cam_from_world", {b, 4, 4});
    device_ = centers.device_id();
  }

  int64_t projection_bytes() const { return gpu::projection_bytes<T>(scene_.slots()); }
  int64_t projection_scratch_bytes() const {
    const DeviceGuard guard(device_);
    return gpu::projection_scratch_bytes<T>(scene_.slots());
  }
  int64_t binning_bytes(int64_t capacity) const { return gpu::binning_bytes(checked_capacity(capacity), tiles()); }
  int64_t binning_scratch_bytes(int64_t capacity) const {
    const DeviceGuard guard(device_);
    return gpu::binning_scratch_bytes(checked_capacity(capacity), tiles());
  }
  int gradient_width() const { return gradient_stride(scene_.channels); }

  void project(const Bytes& kept, const Bytes& scratch, const Out<T>& radii, const Out<int64_t>& status, int64_t stream) const {
    const DeviceGuard guard(device_);
    uint8_t* k = room(kept, "kept", projection_bytes());
    uint8_t* s = room(scratch, "scratch", projection_scratch_bytes());
    gpu::project<T>(scene_, k, s, checked(radii, "radii", {scene_.frames, scene_.count}), checked(status, "status", {2}), stream);
  }

  void draw(const Bytes& kept, const Bytes& scratch, int64_t capacity, const Bytes& binned, const Bytes& bin_scratch,
            const Out<T>& color, const Out<T>& alpha, const Out<T>& depth, const Out<T>& median, const Out<T>& normal,
            const Out<T>& distortion, const Out<T>& pixel_sums, int64_t stream) const {
    const DeviceGuard guard(device_);
    const int64_t b = scene_.frames, h = scene_.height, w = scene_.width;
    const Planes<T> out = {checked(color, "color", {b, scene_.channels, h, w}), checked(alpha, "alpha", {b, h, w}),
                           checked(depth, "depth", {b, h, w}),                  checked(median, "depth_median", {b, h, w}),
                           checked(normal, "normal", {b, 3, h, w}),             checked(distortion, "distortion", {b, h, w})};
    gpu::draw<T>(scene_, room(kept, "kept", projection_bytes()), room(scratch, "scratch", projection_scratch_bytes()), capacity,
                 room(binned, "binned", binning_bytes(capacity)), room(bin_scratch, "bin_scratch", binning_scratch_bytes(capacity)),
                 out, checked(pixel_sums, "pixel_sums", {b, kPixelSums, h, w}), stream);
  }

  void backward(const Bytes& kept, const In<T>& radii, int64_t capacity, const Bytes& binned, const In<T>& color,
                const In<T>& alpha, const In<T>& depth, const In<T>& normal, const In<T>& pixel_sums, const MaybeIn<T>& v_color,
                const MaybeIn<T>& v_alpha, const MaybeIn<T>& v_depth, const MaybeIn<T>& v_median, const MaybeIn<T>& v_normal,
                const MaybeIn<T>& v_distortion, const Out<T>& sums, const MaybeOut<T>& g_centers, const MaybeOut<T>& g_rotations,
                const MaybeOut<T>& g_scales, const MaybeOut<T>& g_opacities, const MaybeOut<T>& g_sh,
                const MaybeOut<T>& g_features, const MaybeOut<T>& g_canonical, const MaybeOut<T>& g_offsets,
                const Out<T>& g_cameras, int64_t stream) const {
    const DeviceGuard guard(device_);
    const int64_t b = scene_.frames, n = scene_.count, h = scene_.height, w = scene_.width, c = scene_.channels;
    // The kernels only read what is called an output here.
    auto writable = [](const T* p) { return const_cast<T*>(p); };
    const Planes<T> out = {writable(checked(color, "color", {b, c, h, w})),
                           writable(checked(alpha, "alpha", {b, h, w})),
                           writable(checked(depth, "depth", {b, h, w})),
                           nullptr,
                           writable(checked(normal, "normal", {b, 3, h, w})),
                           nullptr};
    const Planes<T> up = {writable(checked(v_color, "v_color", {b, c, h, w})),
                          writable(checked(v_alpha, "v_alpha", {b, h, w})),
                          writable(checked(v_depth, "v_depth", {b, h, w})),
                          writable(checked(v_median, "v_depth_median", {b, h, w})),
                          writable(checked(v_normal, "v_normal", {b, 3, h, w})),
                          writable(checked(v_distortion, "v_distortion", {b, h, w}))};
    const SurfelGradients<T> g = {per_frame<T>(g_centers, "g_centers", b, {n, 3}),
                                  per_frame<T>(g_rotations, "g_rotations", b, {n, 4}),
                                  per_frame<T>(g_scales, "g_scales", b, {n, 2}),
                                  per_frame<T>(g_opacities, "g_opacities", b, {n}),
                                  per_frame<T>(g_sh, "g_sh", b, {n, scene_.sh_count, 3}),
                                  per_frame<T>(g_features, "g_features", b, {n, c}),
                                  per_frame<T>(g_canonical, "g_world_from_canonical", b, {n, 4}),
                                  per_frame<T>(g_offsets, "g_screen_offsets", b, {n, 2}),
                                  checked(g_cameras, "g_cameras", {b, kCameraGradientSize})};
    gpu::backward<T>(scene_, room(kept, "kept", projection_bytes()), checked(radii, "radii", {b, n}), capacity,
                     room(binned, "binned", binning_bytes(capacity)), out, checked(pixel_sums, "pixel_sums", {b, kPixelSums, h, w}),
                     up, checked(sums, "sums", {b * n, gradient_width()}), g, stream);
  }

 private:
  int64_t tiles() const { return static_cast<int64_t>(scene_.frames) * scene_.tiles(); }
  static int64_t checked_capacity(int64_t capacity) {
    // Places are counted in 32 bits, and a tile's walk steps past its end by less than a stage.
    if (capacity < 0 || capacity > UINT32_MAX - kStage) throw nb::value_error("capacity: more than MAX_INSTANCES instances");
    return capacity;
  }

  std::vector<In<T>> held_;
  std::vector<MaybeIn<T>> maybe_held_;
  Scene<T> scene_{};
  int device_ = 0;
};

template <class T>
void bind_batch(nb::module_& m, const char* name) {
  nb::class_<Batch<T>>(m, name, "One batch of frames: its arguments, and the steps that draw and differentiate it.")
      .def(nb::init<In<T>, In<T>, In<T>, In<T>, MaybeIn<T>, MaybeIn<T>, MaybeIn<T>, MaybeIn<T>, MaybeIn<T>, In<T>, In<T>, int, int,
                    double, double, double, double>(),
           "centers"_a.noconvert(), "rotations"_a.noconvert(), "scales"_a.noconvert(), "opacities"_a.noconvert(),
           "sh"_a.noconvert().none(), "features"_a.noconvert().none(), "world_from_canonical"_a.noconvert().none(),
           "screen_offsets"_a.noconvert().none(), "background"_a.noconvert().none(), "K"_a.noconvert(),
           "cam_from_world"_a.noconvert(), "width"_a, "height"_a, "near"_a, "alpha_min"_a, "alpha_max"_a, "min_transmittance"_a)
      .def_prop_ro("projection_bytes", &Batch<T>::projection_bytes, "Memory kept from project() to backward().")
      .def_prop_ro("projection_scratch_bytes", &Batch<T>::projection_scratch_bytes, "Memory from project() to draw().")
      .def_prop_ro("gradient_width", &Batch<T>::gradient_width, "Numbers per surfel and frame that backward() sums.")
      .def("binning_bytes", &Batch<T>::binning_bytes, "Memory kept from draw() to backward().", "capacity"_a)
      .def("binning_scratch_bytes", &Batch<T>::binning_scratch_bytes, "Memory that draw() needs besides.", "capacity"_a)
      .def("project", &Batch<T>::project,
           "Project and order all surfels; status gets how many cannot be drawn, and the capacity that draw() needs.",
           "kept"_a.noconvert(), "scratch"_a.noconvert(), "radii"_a.noconvert(), "status"_a.noconvert(), "stream"_a)
      .def("draw", &Batch<T>::draw, "Draw what project() left.", "kept"_a.noconvert(), "scratch"_a.noconvert(), "capacity"_a,
           "binned"_a.noconvert(), "bin_scratch"_a.noconvert(), "color"_a.noconvert(), "alpha"_a.noconvert(),
           "depth"_a.noconvert(), "depth_median"_a.noconvert(), "normal"_a.noconvert(), "distortion"_a.noconvert(),
           "pixel_sums"_a.noconvert(), "stream"_a)
      .def("backward", &Batch<T>::backward, "Add the gradients of what draw() drew to the arrays g_*; sums must be zeros.",
           "kept"_a.noconvert(), "radii"_a.noconvert(), "capacity"_a, "binned"_a.noconvert(), "color"_a.noconvert(),
           "alpha"_a.noconvert(), "depth"_a.noconvert(), "normal"_a.noconvert(), "pixel_sums"_a.noconvert(),
           "v_color"_a.noconvert().none(), "v_alpha"_a.noconvert().none(), "v_depth"_a.noconvert().none(),
           "v_depth_median"_a.noconvert().none(), "v_normal"_a.noconvert().none(), "v_distortion"_a.noconvert().none(),
           "sums"_a.noconvert(), "g_centers"_a.noconvert().none(), "g_rotations"_a.noconvert().none(),
           "g_scales"_a.noconvert().none(), "g_opacities"_a.noconvert().none(), "g_sh"_a.noconvert().none(),
           "g_features"_a.noconvert().none(), "g_world_from_canonical"_a.noconvert().none(),
           "g_screen_offsets"_a.noconvert().none(), "g_cameras"_a.noconvert(), "stream"_a);
}

template <class T>
void adam(const Out<T>& parameters, const In<T>& gradients, const Out<T>& first_moments, const Out<T>& second_moments,
          const Out<int32_t>& steps, const In<T>& seen, double learning_rate, double beta1, double beta2, double epsilon,
          int64_t stream) {
  if (parameters.ndim() != 2) refuse("parameters", "expected two dimensions");
  const int64_t rows = static_cast<int64_t>(parameters.shape(0)), width = static_cast<int64_t>(parameters.shape(1));
  const DeviceGuard guard(parameters.device_id());
  adam_step<T>(rows, width, parameters.data(), checked(gradients, "gradients", {rows, width}),
               checked(first_moments, "first_moments", {rows, width}), checked(second_moments, "second_moments", {rows, width}),
               checked(steps, "steps", {rows}), checked(seen, "seen", {rows}), {learning_rate, beta1, beta2, epsilon}, stream);
}

struct ImageShape {
  int planes, height, width;
  std::vector<int64_t> sides, partials;
};

template <class T>
ImageShape image_shape(const In<T>& image) {
  if (image.ndim() != 3) refuse("image", "expected the shape [planes, height, width]");
  const int64_t p = static_cast<int64_t>(image.shape(0)), h = static_cast<int64_t>(image.shape(1)), w = static_cast<int64_t>(image.shape(2));
  if (h > kMaxImageSide || w > kMaxImageSide || p * ((h + 15) / 16) * ((w + 15) / 16) > INT32_MAX) refuse("image", "too large");
  return {static_cast<int>(p), static_cast<int>(h), static_cast<int>(w), {p, h, w}, {3, p, h, w}};
}

template <class T>
void similarity(const In<T>& image, const In<T>& target, const Out<T>& out, const MaybeOut<T>& partials, int64_t stream) {
  const ImageShape s = image_shape(image);
  const DeviceGuard guard(image.device_id());
  ssim_forward<T>(s.planes, s.height, s.width, image.data(), checked(target, "target", s.sides),
                  checked(out, "similarity", s.sides), checked(partials, "partials", s.partials), stream);
}

template <class T>
void similarity_backward(const In<T>& image, const In<T>& target, const In<T>& partials, const In<T>& v_similarity,
                         const Out<T>& v_image, int64_t stream) {
  const ImageShape s = image_shape(image);
  const DeviceGuard guard(image.device_id());
  ssim_backward<T>(s.planes, s.height, s.width, image.data(), checked(target, "target", s.sides),
                   checked(partials, "partials", s.partials), checked(v_similarity, "v_similarity", s.sides),
                   checked(v_image, "v_image", s.sides), stream);
}

template <class T>
void bind_training(nb::module_& m, const std::string& bits) {
  m.def(("adam_step" + bits).c_str(), &adam<T>, "One step of Adam, in place, for the rows of [rows, width] with seen > 0.",
        "parameters"_a.noconvert(), "gradients"_a.noconvert(), "first_moments"_a.noconvert(), "second_moments"_a.noconvert(),
        "steps"_a.noconvert(), "seen"_a.noconvert(), "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "stream"_a);
  m.def(("ssim_forward" + bits).c_str(), &similarity<T>, "SSIM map of images [planes, height, width], and its partial derivatives.",
        "image"_a.noconvert(), "target"_a.noconvert(), "similarity"_a.noconvert(), "partials"_a.noconvert().none(), "stream"_a);
  m.def(("ssim_backward" + bits).c_str(), &similarity_backward<T>, "Gradient to the image from one to the SSIM map.",
        "image"_a.noconvert(), "target"_a.noconvert(), "partials"_a.noconvert(), "v_similarity"_a.noconvert(),
        "v_image"_a.noconvert(), "stream"_a);
}

}  // namespace

NB_MODULE(R4D_MODULE, m) {
  nb::set_leak_warnings(false);
  m.doc() = "CUDA surfel rasterizer.";
  m.def("device_count", &device_count, "Devices of this machine; 0 where there is no driver.");
  bind_batch<float>(m, "Batch32");
  bind_batch<double>(m, "Batch64");
  bind_training<float>(m, "32");
  bind_training<double>(m, "64");
  m.attr("MIN_SCALE_PIXELS") = kMinScalePixels;
  m.attr("EDGE_ON_COSINE") = kEdgeOnCosine;
  m.attr("EDGE_ON_INVERSE_SIGMA") = 1.0 / kMinScalePixels;
  m.attr("LOW_PASS_INVERSE_VARIANCE") = kLowPassInverseVariance;
  m.attr("LOW_PASS_DEPTH_RATIO") = kLowPassDepthRatio;
  m.attr("MEDIAN_TRANSMITTANCE") = kMedianTransmittance;
  m.attr("MIN_QUATERNION_NORM") = kMinQuaternionNorm;
  m.attr("TILE_WIDTH") = kTileWidth;
  m.attr("TILE_HEIGHT") = kTileHeight;
  m.attr("MAX_CHANNELS") = kMostChannels;
  m.attr("MAX_IMAGE_SIDE") = kMaxImageSide;
  m.attr("MAX_INSTANCES") = static_cast<int64_t>(UINT32_MAX) - kStage;
  m.attr("CAMERA_GRADIENT_SIZE") = kCameraGradientSize;
  m.attr("PIXEL_SUMS") = kPixelSums;
#ifdef R4D_EMULATE
  m.def("set_schedule", [](int schedule) { emulator::machine().schedule = static_cast<emulator::Schedule>(schedule); });
  m.def("skip_barrier", [](const std::string& site) { emulator::machine().skipped_barrier = site; });
  m.def("barriers", [] {
    std::vector<std::string> sites;
    for (const auto& entry : emulator::machine().barriers) sites.push_back(entry.first);
    return sites;
  });
#endif
}
