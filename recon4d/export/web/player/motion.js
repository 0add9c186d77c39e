// Where bones are at a time, and how displacements bend what they carry.  The formulas are those of recon4d's export.

import { writeRigid } from "./vectors.js";

const FLOATS_PER_BONE = 16; // three rows of [R | t], then the quaternion xyzw

/** Poses of all bones of a layer at a time, 16 numbers for each, from an offset in bones. */
export function writePoses(layer, time, out, firstBone) {
  const w = cubicWeights(layer, time);
  for (let b = 0; b < layer.bones; b++) {
    const place = [0, 0, 0];
    const q = [0, 0, 0, 0];
    for (const [sample, weight] of w) {
      const p = 3 * (sample * layer.bones + b);
      const r = 4 * (sample * layer.bones + b);
      for (let i = 0; i < 3; i++) place[i] += weight * layer.places[p + i];
      for (let i = 0; i < 4; i++) q[i] += weight * layer.rotations[r + i];
    }
    const l = 1 / Math.hypot(...q);
    const [x, y, z, u] = q.map((value) => value * l);
    const at = FLOATS_PER_BONE * (firstBone + b);
    writeRigid(out, at, x, y, z, u, 0, 0, 0);
    for (let row = 0; row < 3; row++) {
      const o = at + 4 * row;
      const v = 3 * b;
      out[o + 3] =
        place[row] - out[o] * layer.pivots[v] - out[o + 1] * layer.pivots[v + 1] - out[o + 2] * layer.pivots[v + 2];
    }
    out.set([x, y, z, u], at + 12);
  }
}

/** Samples and weights of the Catmull-Rom cubic at a time; the ends continue on a parabola. */
export function cubicWeights(track, time) {
  const n = track.samples;
  if (n === 1 || track.step === 0) return [[0, 1]];
  const place = Math.min(Math.max((time - track.first) / track.step, 0), n - 1);
  const i = Math.min(Math.floor(place), n - 2);
  const u = place - i;
  const weights = [
    0.5 * u * (-1 + u * (2 - u)),
    1 + 0.5 * u * u * (3 * u - 5),
    0.5 * u * (1 + u * (4 - 3 * u)),
    0.5 * u * u * (u - 1),
  ];
  const sums = new Map();
  const give = (sample, weight) => sums.set(sample, (sums.get(sample) ?? 0) + weight);
  weights.forEach((weight, k) => {
    const sample = i - 1 + k;
    if (sample >= 0 && sample < n) return give(sample, weight);
    const [end, towards] = sample < 0 ? [0, 1] : [n - 1, -1];
    const continued = n === 2 ? [2, -1] : [3, -3, 1];
    continued.forEach((share, j) => give(end + towards * j, weight * share));
  });
  return [...sums];
}

/** Canonical centres of a layer with its displacements at a time, into an array of 4 numbers each. */
export function writeDisplaced(layer, time, out, firstSurfel) {
  const r = layer.residual;
  const [controls, nx, ny, nz] = r.size;
  const nodes = nx * ny * nz;
  const place = Math.min(Math.max((time - r.start) / r.step, 0), controls - 3);
  const first = Math.min(Math.floor(place), controls - 4);
  const u = place - first;
  const weights = [(1 - u) ** 3, 3 * u ** 3 - 6 * u * u + 4, -3 * u ** 3 + 3 * u * u + 3 * u + 1, u ** 3].map((w) => w / 6);
  const grid = new Float32Array(3 * nodes);
  weights.forEach((weight, k) => {
    const at = 3 * nodes * (first + k);
    for (let i = 0; i < grid.length; i++) grid[i] += weight * layer.grid[at + i];
  });
  const size = [nx, ny, nz];
  const stride = [3 * ny * nz, 3 * nz, 3];
  const cell = [0, 0, 0];
  const share = [0, 0, 0];
  for (let i = 0; i < layer.count; i++) {
    for (let axis = 0; axis < 3; axis++) {
      const span = r.high[axis] - r.low[axis];
      const p = Math.min(Math.max((layer.centers[3 * i + axis] - r.low[axis]) / span, 0), 1) * (size[axis] - 1);
      cell[axis] = Math.min(Math.floor(p), size[axis] - 2);
      share[axis] = p - cell[axis];
    }
    const base = cell[0] * stride[0] + cell[1] * stride[1] + cell[2] * stride[2];
    const o = 4 * (firstSurfel + i);
    for (let axis = 0; axis < 3; axis++) {
      let moved = layer.centers[3 * i + axis];
      for (let corner = 0; corner < 8; corner++) {
        const x = corner & 1, y = (corner >> 1) & 1, z = corner >> 2;
        const weight = (x ? share[0] : 1 - share[0]) * (y ? share[1] : 1 - share[1]) * (z ? share[2] : 1 - share[2]);
        moved += weight * grid[base + x * stride[0] + y * stride[1] + z * stride[2] + axis];
      }
      out[o + axis] = moved;
    }
  }
}
