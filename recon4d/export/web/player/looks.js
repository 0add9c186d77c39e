// What edits change over time: places, turns, sizes, opacities and colours as a few modes, each a course over time times
// numbers for every surfel.

import { cubicWeights } from "./motion.js";
import { SURFEL_TEXELS } from "./shaders.js";

export class Looks {
  constructor(layers) {
    this.layers = layers.filter((layer) => layer.looks.length);
  }

  /** Writes what a moment looks like; says whether there was anything to write. */
  write(time, centers, shapes) {
    for (const layer of this.layers) for (const look of layer.looks) this.writeLook(layer, look, time, centers, shapes);
    return this.layers.length > 0;
  }

  writeLook(layer, look, time, centers, shapes) {
    const gains = look.limits.map((limit, mode) => {
      let gain = 0;
      for (const [sample, weight] of cubicWeights(look, time)) gain += weight * look.courses[mode][sample];
      return gain * limit;
    });
    const modes = gains.length;
    const width = look.columns / modes;
    const change = new Float64Array(width);
    for (let i = 0; i < layer.count; i++) {
      change.fill(0);
      for (let mode = 0; mode < modes; mode++) {
        for (let c = 0; c < width; c++) change[c] += gains[mode] * look.values[i * look.columns + mode * width + c];
      }
      const surfel = layer.firstSurfel + i;
      const at = 4 * SURFEL_TEXELS * surfel;
      if (look.kind === "centers") {
        for (let c = 0; c < 3; c++) centers[4 * surfel + c] = layer.centers[3 * i + c] + change[c];
      } else if (look.kind === "turns") {
        for (let c = 0; c < 4; c++) change[c] += layer.turns[4 * i + c];
        writeUnit(change, shapes, at);
      } else if (look.kind === "frames") {
        change[3] += 1;
        writeUnit(change, shapes, at + 16);
      } else if (look.kind === "opacity") {
        centers[4 * surfel + 3] = Math.min(Math.max(layer.opacities[i] + change[0], 0), 1);
      } else if (look.kind === "scales") {
        shapes[at + 7] = layer.scales[2 * i] * Math.exp(change[0]);
        shapes[at + 8] = layer.scales[2 * i + 1] * Math.exp(change[1]);
      } else {
        for (let c = 0; c < 3; c++) shapes[at + 4 + c] = layer.base[3 * i + c] + change[c];
      }
    }
  }
}

function writeUnit(quaternion, out, at) {
  const l = 1 / Math.hypot(...quaternion);
  for (let c = 0; c < 4; c++) out[at + c] = quaternion[c] * l;
}
