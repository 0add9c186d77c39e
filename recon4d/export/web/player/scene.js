// Reads a packed scene (docs/web-player.md) into typed arrays.  Knows nothing of drawing.

const HALF_ROOT = Math.SQRT1_2;

/** Header and layers of a packed scene, from its gzipped bytes in base64. */
export async function readScene(base64) {
  const packed = Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "R4DW") throw new Error("this is not a recon4d scene");
  const headerLength = new DataView(bytes.buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
  if (header.format !== "recon4d-web" || header.version !== 1) throw new Error("this scene needs another player");
  const reader = new Reader(bytes, 8 + headerLength);
  const layers = header.layers.map((described) => readLayer(described, reader));
  if (reader.at !== bytes.length) throw new Error("the scene is damaged");
  return { header, layers };
}

class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  /** Unsigned integers of so many bytes, stored as planes, high bytes first. */
  planes(count, size) {
    const out = size === 1 ? new Uint8Array(count) : size === 2 ? new Uint16Array(count) : new Uint32Array(count);
    for (let plane = 0; plane < size; plane++) {
      const part = this.take(count);
      for (let i = 0; i < count; i++) out[i] = ((out[i] << 8) | part[i]) >>> 0;
    }
    return out;
  }

  floats(count) {
    return new Float32Array(this.take(4 * count).slice().buffer);
  }

  take(count) {
    if (this.at + count > this.bytes.length) throw new Error("the scene is cut short");
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
}

/** `columns` stretches of `rows` levels as floats [rows, columns], each column in its own range. */
function ranged(levels, rows, columns, low, high, most) {
  const out = new Float32Array(rows * columns);
  for (let c = 0; c < columns; c++) {
    const step = (high[c] - low[c]) / most;
    for (let i = 0; i < rows; i++) out[i * columns + c] = low[c] + levels[c * rows + i] * step;
  }
  return out;
}

function readLayer(d, reader) {
  const n = d.count;
  const three = (value) => [value, value, value];
  const layer = { ...d, visible: true };
  layer.centers = ranged(reader.planes(3 * n, 2), n, 3, d.low, d.high, 65535);
  layer.turns = readTurns(reader.planes(n, 4));
  layer.scales = ranged(reader.planes(2 * n, 1), n, 2, ...d.logScales.map(three), 255).map(Math.exp);
  layer.opacities = ranged(reader.planes(n, 1), n, 1, [0], [1], 255);
  layer.base = ranged(reader.planes(3 * n, 2), n, 3, ...d.colors.map(three), 65535);
  layer.harmonics = reader.planes(3 * ((d.degree + 1) ** 2 - 1) * n, 1);
  readBinding(layer, reader);
  layer.pivots = reader.floats(3 * d.bones);
  const [low, high] = [d.trackLow, d.trackHigh].map((v) => Array.from({ length: 3 * d.bones }, (_, i) => v[i % 3]));
  layer.places = ranged(reader.planes(3 * d.bones * d.samples, 2), d.samples, 3 * d.bones, low, high, 65535);
  layer.rotations = signed(reader.planes(4 * d.bones * d.samples, 2), d.samples, 4 * d.bones, 1);
  if (d.residual) {
    const nodes = d.residual.size.reduce((a, b) => a * b);
    layer.grid = signed(reader.planes(3 * nodes, 2), nodes, 3, d.residual.limit);
  }
  layer.looks = (d.looks ?? []).map((look) => ({
    ...look,
    values: signed(reader.planes(look.columns * n, 2), n, look.columns, 1),
  }));
  return layer;
}

function readBinding(layer, reader) {
  const n = layer.count;
  layer.boneOf = new Uint16Array(4 * n);
  layer.weights = new Float32Array(4 * n);
  if (layer.bones === 1) {
    for (let i = 0; i < n; i++) layer.weights[4 * i] = 1;
    return;
  }
  const bones = reader.planes(4 * n, layer.bones <= 256 ? 1 : 2);
  const rest = reader.planes(3 * n, 2);
  for (let i = 0; i < n; i++) {
    let first = 1;
    for (let k = 0; k < 4; k++) {
      layer.boneOf[4 * i + k] = bones[k * n + i];
      if (k) first -= layer.weights[4 * i + k] = rest[(k - 1) * n + i] / 65535;
    }
    layer.weights[4 * i] = first;
  }
}

function signed(levels, rows, columns, limit) {
  const half = levels.BYTES_PER_ELEMENT === 1 ? 128 : 32768;
  const out = new Float32Array(rows * columns);
  for (let c = 0; c < columns; c++) {
    for (let i = 0; i < rows; i++) out[i * columns + c] = ((levels[c * rows + i] - half) / (half - 1)) * limit;
  }
  return out;
}

/** Unit quaternions xyzw [N, 4]: the number of the largest component, and the other three in 10 bits each. */
function readTurns(packed) {
  const out = new Float32Array(4 * packed.length);
  for (let i = 0; i < packed.length; i++) {
    const largest = packed[i] >>> 30;
    let rest = 1;
    for (let k = 1; k < 4; k++) {
      const value = ((((packed[i] >>> (30 - 10 * k)) & 1023) / 1023) * 2 - 1) * HALF_ROOT;
      out[4 * i + ((largest + k) % 4)] = value;
      rest -= value * value;
    }
    out[4 * i + largest] = Math.sqrt(Math.max(rest, 0));
  }
  return out;
}
