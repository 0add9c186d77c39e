// Adds the training steps that are not rasterizing to a module.
#pragma once
#include <nanobind/nanobind.h>

namespace recon4d {

void bind_training(nanobind::module_& m);

}  // namespace recon4d
