// Bytes of a premultiplied image over a background.
#pragma once
#include <cstring>

#include "../lanes.h"
#include "kernels.h"

namespace recon4d {
inline namespace R4D_ISA {

// One row of `width` pixels to the places p[channel * plane + x] of four planes: red, green, blue and coverage.
inline void compose_row(const uint8_t* pixels, int width, const Scalar* background, Scalar* out, Scalar* mask,
                        int64_t plane) {
  const Scalar red = background[0], green = background[1], blue = background[2];
  Scalar *r = out, *g = out + plane, *b = out + 2 * plane;
  for (int x = 0; x < width; ++x) {
    const uint8_t* p = pixels + 4 * x;
    const Scalar covered = Scalar(p[3]) / Scalar(255), rest = Scalar(1) - covered;
    r[x] = Scalar(p[0]) / Scalar(255) + rest * red;
    g[x] = Scalar(p[1]) / Scalar(255) + rest * green;
    b[x] = Scalar(p[2]) / Scalar(255) + rest * blue;
    mask[x] = covered;
  }
}

}  // namespace R4D_ISA
}  // namespace recon4d
