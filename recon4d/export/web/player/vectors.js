// Vectors and rotations as plain arrays.  Quaternions are xyzw; matrices are lists of rows.

export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scale = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const length = (a) => Math.hypot(a[0], a[1], a[2]);
export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

export function normalize(a) {
  const l = length(a);
  return l > 0 ? scale(a, 1 / l) : [0, 0, 1];
}

/** Any unit vector at right angles to a unit vector. */
export function aside(a) {
  const axis = Math.abs(a[0]) < 0.6 ? [1, 0, 0] : [0, 1, 0];
  return normalize(cross(a, axis));
}

/** cam_from_world of an OpenCV camera (x right, y down, z forward), as rows of 4. */
export function lookAt(eye, target, up) {
  const forward = normalize(sub(target, eye));
  let right = cross(forward, up);
  right = length(right) > 1e-9 ? normalize(right) : aside(forward);
  const down = cross(forward, right);
  return [right, down, forward].map((row) => [...row, -dot(row, eye)]);
}

/** Where the camera stands in the world. */
export function centerOf(camFromWorld) {
  const shift = camFromWorld.map((row) => row[3]);
  return [0, 1, 2].map((i) => -(camFromWorld[0][i] * shift[0] + camFromWorld[1][i] * shift[1] + camFromWorld[2][i] * shift[2]));
}

/** Writes the rows of a unit quaternion's rotation and a shift, [R | t], to 12 numbers at an offset. */
export function writeRigid(out, at, x, y, z, w, tx, ty, tz) {
  out[at] = 1 - 2 * (y * y + z * z);
  out[at + 1] = 2 * (x * y - w * z);
  out[at + 2] = 2 * (x * z + w * y);
  out[at + 3] = tx;
  out[at + 4] = 2 * (x * y + w * z);
  out[at + 5] = 1 - 2 * (x * x + z * z);
  out[at + 6] = 2 * (y * z - w * x);
  out[at + 7] = ty;
  out[at + 8] = 2 * (x * z - w * y);
  out[at + 9] = 2 * (y * z + w * x);
  out[at + 10] = 1 - 2 * (x * x + y * y);
  out[at + 11] = tz;
}
