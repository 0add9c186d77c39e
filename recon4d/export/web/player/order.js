// The order of drawing: by depth of the moved centres, farthest first.

const BINS = 65536;

export class Order {
  constructor(count) {
    this.depths = new Float32Array(count);
    this.result = new Uint32Array(count);
    this.counts = new Uint32Array(BINS + 1);
  }

  /**
   * Sorts the surfels of visible layers; returns how many there are, their numbers stand in `result`.
   * `centers` has 4 numbers for each surfel, `poses` 16 for each bone, `row` is the third row of cam_from_world.
   */
  sort(layers, centers, poses, row) {
    let nearest = Infinity, farthest = -Infinity;
    for (const layer of layers) {
      if (!layer.visible) continue;
      if (layer.blend === "linear" || layer.bones === 1) this.linearDepths(layer, centers, poses, row);
      else this.dualDepths(layer, centers, poses, row);
      for (let i = layer.firstSurfel; i < layer.firstSurfel + layer.count; i++) {
        const depth = this.depths[i];
        if (depth < nearest) nearest = depth;
        if (depth > farthest) farthest = depth;
      }
    }
    const counts = this.counts.fill(0);
    const scale = farthest > nearest ? (BINS - 1) / (farthest - nearest) : 0;
    const bin = (i) => BINS - 1 - ((this.depths[i] - nearest) * scale) | 0;
    let total = 0;
    for (const layer of layers) {
      if (!layer.visible) continue;
      total += layer.count;
      for (let i = layer.firstSurfel; i < layer.firstSurfel + layer.count; i++) counts[bin(i) + 1]++;
    }
    for (let k = 0; k < BINS; k++) counts[k + 1] += counts[k];
    for (const layer of layers) {
      if (!layer.visible) continue;
      for (let i = layer.firstSurfel; i < layer.firstSurfel + layer.count; i++) this.result[counts[bin(i)]++] = i;
    }
    return total;
  }

  /** Depth is linear in the bones' transforms, so each bone's row is made once and blended. */
  linearDepths(layer, centers, poses, row) {
    const rows = new Float32Array(4 * layer.bones);
    for (let b = 0; b < layer.bones; b++) {
      const at = 16 * (layer.firstBone + b);
      for (let c = 0; c < 4; c++) {
        rows[4 * b + c] = row[0] * poses[at + c] + row[1] * poses[at + 4 + c] + row[2] * poses[at + 8 + c];
      }
      rows[4 * b + 3] += row[3];
    }
    for (let i = 0; i < layer.count; i++) {
      const o = 4 * (layer.firstSurfel + i);
      let depth = 0;
      for (let k = 0; k < 4; k++) {
        const weight = layer.weights[4 * i + k];
        if (weight === 0) continue;
        const r = 4 * layer.boneOf[4 * i + k];
        depth += weight * (rows[r] * centers[o] + rows[r + 1] * centers[o + 1] + rows[r + 2] * centers[o + 2] + rows[r + 3]);
      }
      this.depths[layer.firstSurfel + i] = depth;
    }
  }

  /** Dual quaternions: real and dual parts are blended, then applied, as in the shader. */
  dualDepths(layer, centers, poses, row) {
    const duals = new Float32Array(4 * layer.bones);
    for (let b = 0; b < layer.bones; b++) {
      const at = 16 * (layer.firstBone + b);
      const [tx, ty, tz] = [poses[at + 3], poses[at + 7], poses[at + 11]];
      const [x, y, z, w] = poses.subarray(at + 12, at + 16);
      duals[4 * b] = 0.5 * (tx * w + ty * z - tz * y);
      duals[4 * b + 1] = 0.5 * (-tx * z + ty * w + tz * x);
      duals[4 * b + 2] = 0.5 * (tx * y - ty * x + tz * w);
      duals[4 * b + 3] = -0.5 * (tx * x + ty * y + tz * z);
    }
    const real = new Float64Array(4), dual = new Float64Array(4);
    for (let i = 0; i < layer.count; i++) {
      real.fill(0);
      dual.fill(0);
      const first = 16 * (layer.firstBone + layer.boneOf[4 * i]) + 12;
      for (let k = 0; k < 4; k++) {
        const bone = layer.boneOf[4 * i + k];
        const at = 16 * (layer.firstBone + bone) + 12;
        let along = 0;
        for (let c = 0; c < 4; c++) along += poses[first + c] * poses[at + c];
        const weight = layer.weights[4 * i + k] * (along < 0 ? -1 : 1);
        for (let c = 0; c < 4; c++) {
          real[c] += weight * poses[at + c];
          dual[c] += weight * duals[4 * bone + c];
        }
      }
      const l = 1 / (real[0] ** 2 + real[1] ** 2 + real[2] ** 2 + real[3] ** 2);
      const [x, y, z, w] = real;
      const [a, b, c, d] = dual;
      const shift = [
        2 * l * (-d * x + a * w - b * z + c * y),
        2 * l * (-d * y + a * z + b * w - c * x),
        2 * l * (-d * z - a * y + b * x + c * w),
      ];
      const o = 4 * (layer.firstSurfel + i);
      const [px, py, pz] = [centers[o], centers[o + 1], centers[o + 2]];
      const [ux, uy, uz] = [2 * (y * pz - z * py), 2 * (z * px - x * pz), 2 * (x * py - y * px)];
      const moved = [
        px + l * (w * ux + y * uz - z * uy) + shift[0],
        py + l * (w * uy + z * ux - x * uz) + shift[1],
        pz + l * (w * uz + x * uy - y * ux) + shift[2],
      ];
      this.depths[layer.firstSurfel + i] = row[0] * moved[0] + row[1] * moved[1] + row[2] * moved[2] + row[3];
    }
  }
}
