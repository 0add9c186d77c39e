// recon4d._native._ext: the CPU rasterizer for Python.  Checks shapes, turns arrays into pointers, holds no logic.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "../cpu/workspace.h"
#include "arrays.h"
#include "recon4d/constants.h"
#include "training.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace recon4d;

template <class T>
struct Inputs {
  SurfelArrays<T> surfels;
  const T* background;
};

template <class T>
Inputs<T> inputs(const In<T, 2>& centers, const In<T, 2>& rotations, const In<T, 2>& scales, const In<T, 1>& opacities,
                 const MaybeIn<T, 3>& sh, const MaybeIn<T, 2>& features, const MaybeIn<T, 2>& canonical,
                 const MaybeIn<T, 2>& offsets, const MaybeIn<T, 1>& background) {
  if (!sh && !features) throw nb::value_error("give sh or features, or both");
  const int64_t n = static_cast<int64_t>(centers.shape(0));
  if (n > INT32_MAX) throw nb::value_error("centers: more than 2^31 surfels");
  Inputs<T> r;
  SurfelArrays<T>& a = r.surfels;
  a.count = n;
  a.sh_count = sh ? static_cast<int>(sh->shape(1)) : 0;
  a.feature_count = features ? static_cast<int>(features->shape(1)) : 0;
  a.channels = (sh ? 3 : 0) + a.feature_count;
  if (sh && a.sh_count != 1 && a.sh_count != 4 && a.sh_count != 9 && a.sh_count != 16)
    throw nb::value_error("sh: the number of coefficients must be 1, 4, 9 or 16");
  if ((features && a.feature_count < 1) || a.channels > kMaxChannels)
    throw nb::value_error("features: between 1 and MAX_CHANNELS channels");
  a.centers = checked(centers, "centers", {n, 3});
  a.rotations = checked(rotations, "rotations", {n, 4});
  a.scales = checked(scales, "scales", {n, 2});
  a.opacities = checked(opacities, "opacities", {n});
  a.sh = checked(sh, "sh", {n, a.sh_count, 3});
  a.features = checked(features, "features", {n, a.feature_count});
  a.canonical = checked(canonical, "world_from_canonical", {n, 4});
  a.offsets = checked(offsets, "screen_offsets", {n, 2});
  r.background = checked(background, "background", {a.channels});
  return r;
}

template <class T>
int64_t forward(Workspace<T>& w, const In<T, 2>& centers, const In<T, 2>& rotations, const In<T, 2>& scales,
                const In<T, 1>& opacities, const MaybeIn<T, 3>& sh, const MaybeIn<T, 2>& features,
                const MaybeIn<T, 2>& canonical, const MaybeIn<T, 2>& offsets, const MaybeIn<T, 1>& background,
                const In<T, 2>& K, const In<T, 2>& cam_from_world, double near_plane, double alpha_min, double alpha_max,
                double min_transmittance, const Out<T, 3>& color, const Out<T, 2>& alpha, const Out<T, 2>& depth,
                const Out<T, 2>& median, const Out<T, 3>& normal, const Out<T, 2>& distortion, const Out<T, 1>& radii,
                int threads) {
  const Inputs<T> in = inputs<T>(centers, rotations, scales, opacities, sh, features, canonical, offsets, background);
  checked(K, "K", {3, 3});
  checked(cam_from_world, "cam_from_world", {4, 4});
  const int64_t h = static_cast<int64_t>(alpha.shape(0)), width = static_cast<int64_t>(alpha.shape(1));
  if (h < 1 || width < 1 || h > kMaxImageSide || width > kMaxImageSide)
    throw nb::value_error("alpha: image sides must be between 1 and MAX_IMAGE_SIDE");
  CameraArgs<T> cam;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) cam.rotation[3 * i + j] = cam_from_world(i, j);
    cam.translation[i] = cam_from_world(i, 3);
  }
  cam.fx = K(0, 0), cam.fy = K(1, 1), cam.cx = K(0, 2), cam.cy = K(1, 2);
  const Limits<T> limits = {T(near_plane), T(alpha_min), T(alpha_max), T(min_transmittance)};
  const Planes<T> out = {checked(color, "color", {in.surfels.channels, h, width}),
                         checked(alpha, "alpha", {h, width}),
                         checked(depth, "depth", {h, width}),
                         checked(median, "depth_median", {h, width}),
                         checked(normal, "normal", {3, h, width}),
                         checked(distortion, "distortion", {h, width})};
  T* r = checked(radii, "radii", {in.surfels.count});
  nb::gil_scoped_release release;
  return w.forward(in.surfels, cam, limits, static_cast<int>(width), static_cast<int>(h), in.background, out, r,
                   checked_threads(threads));
}

template <class T>
void backward(Workspace<T>& w, const In<T, 2>& centers, const In<T, 2>& rotations, const In<T, 2>& scales,
              const In<T, 1>& opacities, const MaybeIn<T, 3>& sh, const MaybeIn<T, 2>& features,
              const MaybeIn<T, 2>& canonical, const MaybeIn<T, 2>& offsets, const MaybeIn<T, 1>& background,
              const In<T, 3>& color, const In<T, 2>& alpha, const In<T, 2>& depth, const In<T, 3>& normal,
              const MaybeIn<T, 3>& v_color, const MaybeIn<T, 2>& v_alpha, const MaybeIn<T, 2>& v_depth,
              const MaybeIn<T, 2>& v_median, const MaybeIn<T, 3>& v_normal, const MaybeIn<T, 2>& v_distortion,
              const MaybeOut<T, 2>& g_centers, const MaybeOut<T, 2>& g_rotations, const MaybeOut<T, 2>& g_scales,
              const MaybeOut<T, 1>& g_opacities, const MaybeOut<T, 3>& g_sh, const MaybeOut<T, 2>& g_features,
              const MaybeOut<T, 2>& g_canonical, const MaybeOut<T, 2>& g_offsets, const Out<T, 1>& g_camera,
              bool accumulate, int threads) {
  const Inputs<T> in = inputs<T>(centers, rotations, scales, opacities, sh, features, canonical, offsets, background);
  const SurfelArrays<T>& a = in.surfels;
  const int64_t n = a.count, c = a.channels;
  const int64_t h = static_cast<int64_t>(alpha.shape(0)), width = static_cast<int64_t>(alpha.shape(1));
  if (!w.matches(n, static_cast<int>(width), static_cast<int>(h), static_cast<int>(c)))
    throw nb::value_error("backward: these are not the arguments of this workspace's last forward");
  // The kernels only read what is called an output here.
  auto writable = [](const T* p) { return const_cast<T*>(p); };
  const Planes<T> out = {writable(checked(color, "color", {c, h, width})),
                         writable(checked(alpha, "alpha", {h, width})),
                         writable(checked(depth, "depth", {h, width})),
                         nullptr,
                         writable(checked(normal, "normal", {3, h, width})),
                         nullptr};
  const Planes<T> up = {writable(checked(v_color, "v_color", {c, h, width})),
                        writable(checked(v_alpha, "v_alpha", {h, width})),
                        writable(checked(v_depth, "v_depth", {h, width})),
                        writable(checked(v_median, "v_depth_median", {h, width})),
                        writable(checked(v_normal, "v_normal", {3, h, width})),
                        writable(checked(v_distortion, "v_distortion", {h, width}))};
  const SurfelGradients<T> g = {checked(g_centers, "g_centers", {n, 3}),
                                checked(g_rotations, "g_rotations", {n, 4}),
                                checked(g_scales, "g_scales", {n, 2}),
                                checked(g_opacities, "g_opacities", {n}),
                                checked(g_sh, "g_sh", {n, a.sh_count, 3}),
                                checked(g_features, "g_features", {n, a.feature_count}),
                                checked(g_canonical, "g_world_from_canonical", {n, 4}),
                                checked(g_offsets, "g_screen_offsets", {n, 2}),
                                accumulate};
  T* camera = checked(g_camera, "g_camera", {kCameraGradientSize});
  nb::gil_scoped_release release;
  w.backward(a, in.background, out, up, g, camera, checked_threads(threads));
}

// An uninitialised torch tensor in pooled memory.
template <class T>
nb::ndarray<nb::pytorch, T, nb::ndim<4>> empty_planes(size_t batch, size_t channels, size_t height, size_t width) {
  void* memory = take_pooled(batch * channels * height * width * sizeof(T));
  nb::capsule owner(memory, [](void* p) noexcept { give_back_pooled(p); });
  return nb::ndarray<nb::pytorch, T, nb::ndim<4>>(memory, {batch, channels, height, width}, owner);
}

template <class T>
void bind_workspace(nb::module_& m, const char* name) {
  nb::class_<Workspace<T>>(m, name, "Buffers of one frame, kept from forward to backward and reused from frame to frame.")
      .def("__init__",
           [](Workspace<T>* self, const std::optional<std::string>& kernels) {
             new (self) Workspace<T>(choose_kernels<T>(kernels ? kernels->c_str() : nullptr));
           },
           "kernels"_a.none() = nb::none(), "With the named kernels, or the fastest that this processor runs.")
      .def("forward", &forward<T>, "Draw one frame; returns how many surfels hold values that cannot be drawn.",
           "centers"_a.noconvert(), "rotations"_a.noconvert(), "scales"_a.noconvert(), "opacities"_a.noconvert(),
           "sh"_a.noconvert().none(), "features"_a.noconvert().none(), "world_from_canonical"_a.noconvert().none(),
           "screen_offsets"_a.noconvert().none(), "background"_a.noconvert().none(), "K"_a.noconvert(),
           "cam_from_world"_a.noconvert(), "near"_a, "alpha_min"_a, "alpha_max"_a, "min_transmittance"_a,
           "color"_a.noconvert(), "alpha"_a.noconvert(), "depth"_a.noconvert(), "depth_median"_a.noconvert(),
           "normal"_a.noconvert(), "distortion"_a.noconvert(), "radii"_a.noconvert(), "threads"_a)
      .def("backward", &backward<T>, "Gradients of the frame drawn last; its arguments must be unchanged.",
           "centers"_a.noconvert(), "rotations"_a.noconvert(), "scales"_a.noconvert(), "opacities"_a.noconvert(),
           "sh"_a.noconvert().none(), "features"_a.noconvert().none(), "world_from_canonical"_a.noconvert().none(),
           "screen_offsets"_a.noconvert().none(), "background"_a.noconvert().none(), "color"_a.noconvert(),
           "alpha"_a.noconvert(), "depth"_a.noconvert(), "normal"_a.noconvert(), "v_color"_a.noconvert().none(),
           "v_alpha"_a.noconvert().none(), "v_depth"_a.noconvert().none(), "v_depth_median"_a.noconvert().none(),
           "v_normal"_a.noconvert().none(), "v_distortion"_a.noconvert().none(), "g_centers"_a.noconvert().none(),
           "g_rotations"_a.noconvert().none(), "g_scales"_a.noconvert().none(), "g_opacities"_a.noconvert().none(),
           "g_sh"_a.noconvert().none(), "g_features"_a.noconvert().none(),
           "g_world_from_canonical"_a.noconvert().none(), "g_screen_offsets"_a.noconvert().none(),
           "g_camera"_a.noconvert(), "accumulate"_a, "threads"_a)
      .def_prop_ro("kernels", &Workspace<T>::kernel_name, "Name of the instruction set in use.")
      .def_prop_ro("lanes", &Workspace<T>::lanes, "Pixels per register.")
      .def_prop_ro("bytes", &Workspace<T>::bytes, "Memory held, in bytes.")
      .def_prop_ro("instances", &Workspace<T>::instance_count, "(surfel, tile) pairs of the last frame.")
      .def_prop_ro("visits", &Workspace<T>::visit_count, "(surfel, block of `lanes` pixels) pairs blended in the last frame.");
}

}  // namespace

NB_MODULE(_ext, m) {
  // Pooled workspaces are alive when the interpreter exits; that is no leak worth a page of warnings.
  nb::set_leak_warnings(false);
  m.doc() = "CPU surfel rasterizer, and steps of training.";
  bind_workspace<float>(m, "Workspace32");
  bind_workspace<double>(m, "Workspace64");
  m.def("empty_planes32", &empty_planes<float>, "batch"_a, "channels"_a, "height"_a, "width"_a,
        "Uninitialised planes [batch, channels, height, width] in memory that is reused when they are dropped.");
  m.def("empty_planes64", &empty_planes<double>, "batch"_a, "channels"_a, "height"_a, "width"_a,
        "The same in double precision.");
  m.def("keep_idle", &keep_idle, "bytes"_a, "Keep at most so many bytes of dropped planes for the next ones.");
  m.def("kernel_names", &kernel_names, "Names of the single-precision kernels that this processor runs, fastest first.");
  bind_training(m);
  m.attr("MIN_SCALE_PIXELS") = kMinScalePixels;
  m.attr("EDGE_ON_COSINE") = kEdgeOnCosine;
  m.attr("EDGE_ON_INVERSE_SIGMA") = 1.0 / kMinScalePixels;
  m.attr("LOW_PASS_INVERSE_VARIANCE") = kLowPassInverseVariance;
  m.attr("LOW_PASS_DEPTH_RATIO") = kLowPassDepthRatio;
  m.attr("MEDIAN_TRANSMITTANCE") = kMedianTransmittance;
  m.attr("MIN_QUATERNION_NORM") = kMinQuaternionNorm;
  m.attr("TILE_SIZE") = kTileSize;
  m.attr("MAX_CHANNELS") = kMaxChannels;
  m.attr("MAX_IMAGE_SIDE") = kMaxImageSide;
  m.attr("CAMERA_GRADIENT_SIZE") = kCameraGradientSize;
}
