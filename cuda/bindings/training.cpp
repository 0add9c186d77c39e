// Bindings of the training steps that are not rasterizing.  Checks shapes, turns arrays into pointers, holds no logic.
#include "training.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "../cpu/training/bone_paths.h"
#include "../cpu/training/steps.h"
#include "arrays.h"

namespace recon4d {

using namespace nb::literals;

namespace {

using Name = std::optional<std::string>;

template <class T>
const TrainingKernels<T>& kernels_named(const Name& name) {
  return choose_training_kernels<T>(name ? name->c_str() : nullptr);
}

template <class T>
Controls<T> controls(const In<T, 3>& rotations, const In<T, 3>& translations, double start, double step) {
  const int64_t count = static_cast<int64_t>(rotations.shape(0)), poses = static_cast<int64_t>(rotations.shape(1));
  if (poses < 4) throw nb::value_error("controls: a cubic path needs at least 4 control poses");
  if (!(step > 0)) throw nb::value_error("step: must be positive");
  return {checked(rotations, "rotations", {count, poses, 4}), checked(translations, "translations", {count, poses, 3}),
          count, poses, start, step};
}

template <class T>
bool bind_bone_transforms(const In<T, 3>& bone_rotations, const In<T, 3>& bone_translations, double bone_start,
                          double bone_step, const In<T, 3>& root_rotations, const In<T, 3>& root_translations,
                          double root_start, double root_step, const In<T, 2>& rest, const In<double, 1>& times,
                          const Out<T, 3>& rotations, const Out<T, 3>& translations) {
  const Controls<T> bones = controls(bone_rotations, bone_translations, bone_start, bone_step);
  const Controls<T> root = controls(root_rotations, root_translations, root_start, root_step);
  const int64_t count = static_cast<int64_t>(times.shape(0));
  return bone_transforms(bones, root, checked(rest, "rest", {bones.count, 3}), times.data(), count,
                         checked(rotations, "rotations", {count, bones.count, 4}),
                         checked(translations, "translations", {count, bones.count, 3}));
}

template <class T>
void bind_bone_transforms_backward(const In<T, 3>& bone_rotations, const In<T, 3>& bone_translations, double bone_start,
                                   double bone_step, const In<T, 3>& root_rotations, const In<T, 3>& root_translations,
                                   double root_start, double root_step, const In<T, 2>& rest, const In<double, 1>& times,
                                   const MaybeIn<T, 3>& v_rotations, const MaybeIn<T, 3>& v_translations,
                                   const MaybeOut<T, 3>& g_bone_rotations, const MaybeOut<T, 3>& g_bone_translations,
                                   const MaybeOut<T, 3>& g_root_rotations, const MaybeOut<T, 3>& g_root_translations) {
  const Controls<T> bones = controls(bone_rotations, bone_translations, bone_start, bone_step);
  const Controls<T> root = controls(root_rotations, root_translations, root_start, root_step);
  const int64_t count = static_cast<int64_t>(times.shape(0));
  bone_transforms_backward(bones, root, checked(rest, "rest", {bones.count, 3}), times.data(), count,
                           checked(v_rotations, "v_rotations", {count, bones.count, 4}),
                           checked(v_translations, "v_translations", {count, bones.count, 3}),
                           {checked(g_bone_rotations, "g_bone_rotations", {bones.count, bones.controls, 4}),
                            checked(g_bone_translations, "g_bone_translations", {bones.count, bones.controls, 3})},
                           {checked(g_root_rotations, "g_root_rotations", {root.count, root.controls, 4}),
                            checked(g_root_translations, "g_root_translations", {root.count, root.controls, 3})});
}

template <class T>
Skin<T> skin_arguments(const In<T, 2>& centers, const In<T, 2>& rotations, const In<int64_t, 2>& slots,
                       const In<T, 2>& correction, const In<T, 2>& log_radii, const In<T, 2>& rest,
                       const In<T, 3>& bone_rotations, const In<T, 3>& bone_translations, bool dual) {
  const int64_t n = static_cast<int64_t>(centers.shape(0)), bones = static_cast<int64_t>(rest.shape(0));
  const int64_t times = static_cast<int64_t>(bone_rotations.shape(0));
  if (bones < 1 || bones > INT32_MAX) throw nb::value_error("rest: at least one bone");
  return {n,
          times,
          bones,
          dual,
          checked(centers, "centers", {n, 3}),
          checked(rotations, "rotations", {n, 4}),
          checked(correction, "correction", {n, kSlots}),
          checked(log_radii, "log_radii", {bones, 3}),
          checked(rest, "rest", {bones, 3}),
          checked(slots, "slots", {n, kSlots}),
          checked(bone_rotations, "bone_rotations", {times, bones, 4}),
          checked(bone_translations, "bone_translations", {times, bones, 3})};
}

template <class T>
bool bind_skin(const In<T, 2>& centers, const In<T, 2>& rotations, const In<int64_t, 2>& slots,
               const In<T, 2>& correction, const In<T, 2>& log_radii, const In<T, 2>& rest,
               const In<T, 3>& bone_rotations, const In<T, 3>& bone_translations, bool dual, const Out<T, 3>& out_centers,
               const Out<T, 3>& out_rotations, const Out<T, 3>& out_turns, const Out<T, 2>& weights, int threads,
               const Name& kernels) {
  const Skin<T> in = skin_arguments(centers, rotations, slots, correction, log_radii, rest, bone_rotations,
                                    bone_translations, dual);
  const SkinOutputs<T> out = {checked(out_centers, "out_centers", {in.times, in.points, 3}),
                              checked(out_rotations, "out_rotations", {in.times, in.points, 4}),
                              checked(out_turns, "out_turns", {in.times, in.points, 4}),
                              checked(weights, "weights", {in.points, kSlots})};
  const TrainingKernels<T>& chosen = kernels_named<T>(kernels);
  nb::gil_scoped_release release;
  return skin(chosen, in, out, checked_threads(threads));
}

template <class T>
void bind_skin_backward(const In<T, 2>& centers, const In<T, 2>& rotations, const In<int64_t, 2>& slots,
                        const In<T, 2>& correction, const In<T, 2>& log_radii, const In<T, 2>& rest,
                        const In<T, 3>& bone_rotations, const In<T, 3>& bone_translations, bool dual,
                        const In<T, 2>& weights, const MaybeIn<T, 3>& v_centers, const MaybeIn<T, 3>& v_rotations,
                        const MaybeIn<T, 3>& v_turns, const MaybeOut<T, 2>& g_centers, const MaybeOut<T, 2>& g_rotations,
                        const MaybeOut<T, 2>& g_correction, const MaybeOut<T, 2>& g_log_radii,
                        const MaybeOut<T, 3>& g_bone_rotations, const MaybeOut<T, 3>& g_bone_translations, int threads,
                        const Name& kernels) {
  const Skin<T> in = skin_arguments(centers, rotations, slots, correction, log_radii, rest, bone_rotations,
                                    bone_translations, dual);
  const int64_t n = in.points, t = in.times;
  const SkinResults<T> out = {checked(g_centers, "g_centers", {n, 3}),
                              checked(g_rotations, "g_rotations", {n, 4}),
                              checked(g_correction, "g_correction", {n, kSlots}),
                              checked(g_log_radii, "g_log_radii", {in.bones, 3}),
                              checked(g_bone_rotations, "g_bone_rotations", {t, in.bones, 4}),
                              checked(g_bone_translations, "g_bone_translations", {t, in.bones, 3})};
  const T* w = checked(weights, "weights", {n, kSlots});
  const T *vc = checked(v_centers, "v_centers", {t, n, 3}), *vr = checked(v_rotations, "v_rotations", {t, n, 4}),
          *vt = checked(v_turns, "v_turns", {t, n, 4});
  const TrainingKernels<T>& chosen = kernels_named<T>(kernels);
  nb::gil_scoped_release release;
  skin_backward(chosen, in, w, vc, vr, vt, out, checked_threads(threads));
}

template <class T>
std::pair<double, double> bind_photometric(const In<T, 3>& image, const In<T, 3>& target, double share,
                                           const MaybeOut<T, 3>& gradient, int threads, const Name& kernels) {
  const int64_t c = static_cast<int64_t>(image.shape(0)), h = static_cast<int64_t>(image.shape(1)),
                w = static_cast<int64_t>(image.shape(2));
  if (c < 1 || h < 1 || w < 1 || c > INT32_MAX || h > INT32_MAX - 64 || w > INT32_MAX - 64)
    throw nb::value_error("image: at least one pixel and one channel");
  const ImagePair<T> pair = {static_cast<int>(c), static_cast<int>(h), static_cast<int>(w), image.data(),
                             checked(target, "target", {c, h, w})};
  T* g = checked(gradient, "gradient", {c, h, w});
  const TrainingKernels<T>& chosen = kernels_named<T>(kernels);
  nb::gil_scoped_release release;
  const PhotometricValue value = photometric(chosen, pair, share, g, checked_threads(threads));
  return {value.loss, value.mean_square};
}

template <class T>
double bind_normal_consistency(const In<T, 3>& normal, const In<T, 2>& alpha, const In<T, 2>& depth, const In<T, 2>& K,
                               const MaybeOut<T, 3>& v_normal, const MaybeOut<T, 2>& v_depth, int threads,
                               const Name& kernels) {
  const int64_t h = static_cast<int64_t>(alpha.shape(0)), w = static_cast<int64_t>(alpha.shape(1));
  if (h < 3 || w < 3 || h > INT32_MAX || w > INT32_MAX) throw nb::value_error("alpha: at least 3 x 3 pixels");
  checked(K, "K", {3, 3});
  const NormalMaps<T> maps = {static_cast<int>(h),
                              static_cast<int>(w),
                              checked(normal, "normal", {3, h, w}),
                              alpha.data(),
                              checked(depth, "depth", {h, w}),
                              K(0, 0),
                              K(1, 1),
                              K(0, 2),
                              K(1, 2)};
  T *vn = checked(v_normal, "v_normal", {3, h, w}), *vd = checked(v_depth, "v_depth", {h, w});
  const TrainingKernels<T>& chosen = kernels_named<T>(kernels);
  nb::gil_scoped_release release;
  return normal_consistency(chosen, maps, vn, vd, checked_threads(threads));
}

// Pixels are not contiguous where they are a box of an image: rows may be any distance apart.
template <class T>
void bind_compose(const nb::ndarray<const uint8_t, nb::ndim<3>, nb::device::cpu>& pixels, const In<T, 1>& background,
                  const Out<T, 3>& color, const Out<T, 3>& mask, int threads, const Name& kernels) {
  const int64_t h = static_cast<int64_t>(pixels.shape(0)), w = static_cast<int64_t>(pixels.shape(1));
  if (pixels.shape(2) != 4 || h > INT32_MAX || w > INT32_MAX) throw nb::value_error("pixels: four channels");
  if ((w > 1 && pixels.stride(1) != 4) || pixels.stride(2) != 1)
    throw nb::value_error("pixels: those of one row must lie side by side");
  checked(background, "background", {3});
  T *c = checked(color, "color", {3, h, w}), *m = checked(mask, "mask", {1, h, w});
  const TrainingKernels<T>& chosen = kernels_named<T>(kernels);
  nb::gil_scoped_release release;
  compose(chosen, pixels.data(), pixels.stride(0), static_cast<int>(h), static_cast<int>(w), background.data(), c, m,
          checked_threads(threads));
}

template <class T>
void bind_all(nb::module_& m, const std::string& bits) {
  auto name = [&](const char* base) { return base + bits; };
  m.def(name("bone_transforms").c_str(), &bind_bone_transforms<T>,
        "world_from_canonical of bones at times; False where a time is not finite.", "bone_rotations"_a.noconvert(),
        "bone_translations"_a.noconvert(), "bone_start"_a, "bone_step"_a, "root_rotations"_a.noconvert(),
        "root_translations"_a.noconvert(), "root_start"_a, "root_step"_a, "rest"_a.noconvert(), "times"_a.noconvert(),
        "rotations"_a.noconvert(), "translations"_a.noconvert());
  m.def(name("bone_transforms_backward").c_str(), &bind_bone_transforms_backward<T>,
        "Adds the gradients of bone_transforms to those of the control poses.", "bone_rotations"_a.noconvert(),
        "bone_translations"_a.noconvert(), "bone_start"_a, "bone_step"_a, "root_rotations"_a.noconvert(),
        "root_translations"_a.noconvert(), "root_start"_a, "root_step"_a, "rest"_a.noconvert(), "times"_a.noconvert(),
        "v_rotations"_a.noconvert().none(), "v_translations"_a.noconvert().none(),
        "g_bone_rotations"_a.noconvert().none(), "g_bone_translations"_a.noconvert().none(),
        "g_root_rotations"_a.noconvert().none(), "g_root_translations"_a.noconvert().none());
  m.def(name("skin").c_str(), &bind_skin<T>, "Weights, blends and moves points; False where a slot names no bone.",
        "centers"_a.noconvert(), "rotations"_a.noconvert(), "slots"_a.noconvert(), "correction"_a.noconvert(),
        "log_radii"_a.noconvert(), "rest"_a.noconvert(), "bone_rotations"_a.noconvert(),
        "bone_translations"_a.noconvert(), "dual"_a, "out_centers"_a.noconvert(), "out_rotations"_a.noconvert(),
        "out_turns"_a.noconvert(), "weights"_a.noconvert(), "threads"_a, "kernels"_a.none());
  m.def(name("skin_backward").c_str(), &bind_skin_backward<T>, "Gradients of skin; overwrites them.",
        "centers"_a.noconvert(), "rotations"_a.noconvert(), "slots"_a.noconvert(), "correction"_a.noconvert(),
        "log_radii"_a.noconvert(), "rest"_a.noconvert(), "bone_rotations"_a.noconvert(),
        "bone_translations"_a.noconvert(), "dual"_a, "weights"_a.noconvert(), "v_centers"_a.noconvert().none(),
        "v_rotations"_a.noconvert().none(), "v_turns"_a.noconvert().none(), "g_centers"_a.noconvert().none(),
        "g_rotations"_a.noconvert().none(), "g_correction"_a.noconvert().none(), "g_log_radii"_a.noconvert().none(),
        "g_bone_rotations"_a.noconvert().none(), "g_bone_translations"_a.noconvert().none(), "threads"_a,
        "kernels"_a.none());
  m.def(name("photometric").c_str(), &bind_photometric<T>,
        "(1 - share) L1 + share DSSIM and the mean squared difference of planes; writes the gradient to the image.",
        "image"_a.noconvert(), "target"_a.noconvert(), "share"_a, "gradient"_a.noconvert().none(), "threads"_a,
        "kernels"_a.none());
  m.def(name("normal_consistency").c_str(), &bind_normal_consistency<T>,
        "Mean of 1 - cosine between normals and those of the depth; writes the gradients.", "normal"_a.noconvert(),
        "alpha"_a.noconvert(), "depth"_a.noconvert(), "K"_a.noconvert(), "v_normal"_a.noconvert().none(),
        "v_depth"_a.noconvert().none(), "threads"_a, "kernels"_a.none());
  m.def(name("compose").c_str(), &bind_compose<T>, "Premultiplied bytes over a background, as planes.",
        "pixels"_a.noconvert(), "background"_a.noconvert(), "color"_a.noconvert(), "mask"_a.noconvert(), "threads"_a,
        "kernels"_a.none());
}

}  // namespace

void bind_training(nb::module_& m) {
  bind_all<float>(m, "32");
  bind_all<double>(m, "64");
}

}  // namespace recon4d
