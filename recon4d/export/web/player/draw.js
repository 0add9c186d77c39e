// Draws a scene with WebGL 2: tables of surfels stay on the GPU, bones' poses and the order of drawing change.

import { writeDisplaced, writePoses } from "./motion.js";
import { Looks } from "./looks.js";
import { Order } from "./order.js";
import { screenFragment, screenVertex, surfelFragment, surfelVertex, SURFEL_TEXELS, TABLE_WIDTH } from "./shaders.js";
import { centerOf } from "./vectors.js";

export class Renderer {
  constructor(canvas, layers) {
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "high-performance" });
    if (!gl) throw new Error("this browser has no WebGL 2");
    this.gl = gl;
    this.layers = layers;
    this.count = 0;
    this.bones = 0;
    for (const layer of layers) {
      layer.firstSurfel = this.count;
      layer.firstBone = this.bones;
      this.count += layer.count;
      this.bones += layer.bones;
    }
    // Half floats keep blending exact to a thousandth; eight bits would add up to visible steps.
    this.deep = Boolean(gl.getExtension("EXT_color_buffer_float") ?? gl.getExtension("EXT_color_buffer_half_float"));
    this.surfels = program(gl, surfelVertex, surfelFragment);
    this.screen = program(gl, screenVertex, screenFragment);
    this.poses = new Float32Array(padded(4 * this.bones, 4));
    this.order = new Order(this.count);
    this.looks = new Looks(layers);
    this.makeTables();
    this.makeGeometry();
    this.image = null;
    this.size = [0, 0];
  }

  makeTables() {
    const gl = this.gl;
    const degree = Math.max(...this.layers.map((layer) => layer.degree));
    this.harmonicTexels = (degree + 1) ** 2 - 1;
    this.centers = new Float32Array(padded(this.count, 4));
    this.shapes = new Float32Array(padded(SURFEL_TEXELS * this.count, 4));
    const bones = new Uint16Array(padded(this.count, 4));
    const harmonics = new Uint8Array(padded(Math.max(1, this.harmonicTexels * this.count), 4)).fill(128);
    const table = new Float32Array(padded(this.layers.length, 4));
    this.layers.forEach((layer, number) => {
      table.set([layer.blend === "linear" ? 0 : 1, 0, 0, 0], 4 * number);
      layer.bands.forEach((limit, band) => (table[4 * number + 1 + band] = limit));
      for (let i = 0; i < layer.count; i++) {
        const surfel = layer.firstSurfel + i;
        this.centers.set(layer.centers.subarray(3 * i, 3 * i + 3), 4 * surfel);
        this.centers[4 * surfel + 3] = layer.opacities[i];
        const at = 4 * SURFEL_TEXELS * surfel;
        this.shapes.set(layer.turns.subarray(4 * i, 4 * i + 4), at);
        this.shapes.set(layer.base.subarray(3 * i, 3 * i + 3), at + 4);
        this.shapes[at + 7] = layer.scales[2 * i];
        this.shapes[at + 8] = layer.scales[2 * i + 1];
        this.shapes[at + 9] = number;
        this.shapes.set(layer.weights.subarray(4 * i, 4 * i + 4), at + 12);
        this.shapes[at + 19] = 1;
        for (let k = 0; k < 4; k++) bones[4 * surfel + k] = layer.firstBone + layer.boneOf[4 * i + k];
        copyHarmonics(layer, i, harmonics, 4 * this.harmonicTexels * surfel);
      }
    });
    this.tables = {
      uCenters: makeTable(gl, gl.RGBA32F, gl.RGBA, gl.FLOAT, this.centers),
      uShapes: makeTable(gl, gl.RGBA32F, gl.RGBA, gl.FLOAT, this.shapes),
      uBones: makeTable(gl, gl.RGBA16UI, gl.RGBA_INTEGER, gl.UNSIGNED_SHORT, bones),
      uHarmonics: makeTable(gl, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, harmonics),
      uPoses: makeTable(gl, gl.RGBA32F, gl.RGBA, gl.FLOAT, this.poses),
      uLayers: makeTable(gl, gl.RGBA32F, gl.RGBA, gl.FLOAT, table),
    };
  }

  makeGeometry() {
    const gl = this.gl;
    this.geometry = gl.createVertexArray();
    gl.bindVertexArray(this.geometry);
    this.instances = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    gl.bufferData(gl.ARRAY_BUFFER, 4 * this.count, gl.STREAM_DRAW);
    const place = gl.getAttribLocation(this.surfels.id, "aSurfel");
    gl.enableVertexAttribArray(place);
    gl.vertexAttribIPointer(place, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(place, 1);
    gl.bindVertexArray(null);
    this.nothing = gl.createVertexArray();
  }

  /** Poses, displacements and looks of a moment. */
  setTime(time) {
    const gl = this.gl;
    let moved = false;
    for (const layer of this.layers) {
      writePoses(layer, time, this.poses, layer.firstBone);
      if (layer.residual) {
        writeDisplaced(layer, time, this.centers, layer.firstSurfel);
        moved = true;
      }
    }
    const looked = this.looks.write(time, this.centers, this.shapes);
    updateTable(gl, this.tables.uPoses, gl.RGBA, gl.FLOAT, this.poses);
    if (moved || looked) updateTable(gl, this.tables.uCenters, gl.RGBA, gl.FLOAT, this.centers);
    if (looked) updateTable(gl, this.tables.uShapes, gl.RGBA, gl.FLOAT, this.shapes);
  }

  /**
   * Draws the visible layers over a colour, as a camera sees them.
   * camera: {camFromWorld: rows of 4, focal: [fx, fy], principal: [cx, cy]} in pixels of the canvas.
   */
  draw(camera, background) {
    const gl = this.gl;
    const [width, height] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
    this.resize(width, height);
    const drawn = this.order.sort(this.layers, this.centers, this.poses, camera.camFromWorld[2]);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.surfels.id);
    const at = this.surfels.uniform;
    const m = camera.camFromWorld;
    gl.uniformMatrix4x3fv(at("uCamFromWorld"), false, [0, 1, 2, 3].flatMap((c) => [m[0][c], m[1][c], m[2][c]]));
    gl.uniform3fv(at("uEye"), centerOf(m));
    gl.uniform2fv(at("uFocal"), camera.focal);
    gl.uniform2fv(at("uPrincipal"), camera.principal);
    gl.uniform2f(at("uSize"), width, height);
    gl.uniform1i(at("uHarmonicTexels"), this.harmonicTexels);
    Object.entries(this.tables).forEach(([name, table], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, table);
      gl.uniform1i(at(name), unit);
    });
    gl.bindVertexArray(this.geometry);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.order.result, 0, drawn);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, drawn);
    gl.disable(gl.BLEND);

    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.screen.id);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.image);
    gl.uniform1i(this.screen.uniform("uImage"), 0);
    gl.uniform3fv(this.screen.uniform("uBackground"), background);
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  resize(width, height) {
    if (this.size[0] === width && this.size[1] === height) return;
    const gl = this.gl;
    if (this.image) gl.deleteTexture(this.image);
    if (this.target) gl.deleteFramebuffer(this.target);
    this.size = [width, height];
    this.image = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.image);
    gl.texStorage2D(gl.TEXTURE_2D, 1, this.deep ? gl.RGBA16F : gl.RGBA8, width, height);
    nearest(gl);
    this.target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.image, 0);
  }
}

/** Numbers in a table of so many texels, its last row filled up. */
const padded = (texels, channels) => Math.ceil(texels / TABLE_WIDTH) * TABLE_WIDTH * channels;

function copyHarmonics(layer, i, out, at) {
  let column = 0;
  for (let k = 0; k < (layer.degree + 1) ** 2 - 1; k++) {
    for (let channel = 0; channel < 3; channel++) {
      out[at + 4 * k + channel] = layer.harmonics[column * layer.count + i];
      column++;
    }
  }
}

function makeTable(gl, internal, format, type, data) {
  const table = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, table);
  gl.texStorage2D(gl.TEXTURE_2D, 1, internal, TABLE_WIDTH, data.length / 4 / TABLE_WIDTH);
  nearest(gl);
  updateTable(gl, table, format, type, data);
  return table;
}

function updateTable(gl, table, format, type, data) {
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, table);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TABLE_WIDTH, data.length / 4 / TABLE_WIDTH, format, type, data);
}

function nearest(gl) {
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
}

function program(gl, vertex, fragment) {
  const id = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new Error(`the shader did not compile: ${gl.getShaderInfoLog(shader)}`);
    }
    gl.attachShader(id, shader);
  }
  gl.linkProgram(id);
  if (!gl.getProgramParameter(id, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`the shaders do not fit: ${gl.getProgramInfoLog(id)}`);
  }
  const known = new Map();
  const uniform = (name) => {
    if (!known.has(name)) known.set(name, gl.getUniformLocation(id, name));
    return known.get(name);
  };
  return { id, uniform };
}
