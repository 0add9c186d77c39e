// How a surfel is warped and drawn.  A surfel is a flat elliptical Gaussian; a pixel's ray meets its plane exactly, as in
// recon4d's rasterizer, whose constants these are: least alpha 1/255, largest 0.999, and no surfel narrower on screen
// than a Gaussian of variance 1/2 pixel.

// Of the table of shapes: turn; colour and first scale; second scale and layer; weights; turn of the colours.
export const SURFEL_TEXELS = 5;
export const TABLE_WIDTH = 2048; // texels in a row of every table

export const surfelVertex = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform sampler2D uCenters;    // canonical centre, opacity
uniform sampler2D uShapes;     // ${SURFEL_TEXELS} texels for each surfel
uniform usampler2D uBones;     // bones of each surfel, counted over all layers
uniform sampler2D uHarmonics;  // coefficients from degree 1 on, uHarmonicTexels for each surfel
uniform sampler2D uPoses;      // 4 texels for each bone: rows of [R | t], quaternion
uniform sampler2D uLayers;     // 1 texel for each layer: dual quaternions?, largest coefficient of degrees 1 to 3
uniform int uHarmonicTexels;
uniform mat4x3 uCamFromWorld;  // columns: rotation, translation
uniform vec3 uEye;
uniform vec2 uFocal;
uniform vec2 uPrincipal;
uniform vec2 uSize;

in uint aSurfel;

flat out vec4 vCenterSlope;    // centre in pixels, h
flat out vec4 vAxes;           // a, b: pixel offsets to standard deviations
flat out vec4 vColor;          // rgb, opacity
flat out vec2 vReach;          // squared Mahalanobis radius at which alpha falls to its least; depth of the centre

const float NEAR = 0.01;
const float EDGE_ON = 1e-4;

vec4 texel(sampler2D table, int index) {
  return texelFetch(table, ivec2(index % ${TABLE_WIDTH}, index / ${TABLE_WIDTH}), 0);
}

vec4 product(vec4 a, vec4 b) {
  return vec4(a.w * b.xyz + b.w * a.xyz + cross(a.xyz, b.xyz), a.w * b.w - dot(a.xyz, b.xyz));
}

vec3 turned(vec4 q, vec3 v) {
  vec3 u = 2.0 * cross(q.xyz, v);
  return v + q.w * u + cross(q.xyz, u);
}

// Blends the bones' transforms: moves p, and gives the rotation that goes with it.
vec4 warp(uvec4 bones, vec4 weights, bool dual, inout vec3 p) {
  vec4 real = vec4(0.0), other = vec4(0.0), first = texel(uPoses, 4 * int(bones.x) + 3);
  vec3 moved = vec3(0.0);
  for (int k = 0; k < 4; k++) {
    if (weights[k] == 0.0) continue;
    int at = 4 * int(bones[k]);
    vec4 row0 = texel(uPoses, at), row1 = texel(uPoses, at + 1), row2 = texel(uPoses, at + 2), q = texel(uPoses, at + 3);
    float weight = weights[k];
    moved += weight * (vec3(dot(row0.xyz, p), dot(row1.xyz, p), dot(row2.xyz, p)) + vec3(row0.w, row1.w, row2.w));
    if (dot(first, q) < 0.0) weight = -weight;
    real += weight * q;
    if (dual) other += weight * 0.5 * product(vec4(row0.w, row1.w, row2.w, 0.0), q);
  }
  float size = length(real);
  real /= size;
  if (dual) {
    moved = turned(real, p) + 2.0 * product(other / size, vec4(-real.xyz, real.w)).xyz;
  }
  p = moved;
  return real;
}

vec3 harmonic(int surfel, int k, float limit) {
  vec3 stored = texel(uHarmonics, surfel * uHarmonicTexels + k - 1).rgb;
  return (stored * 255.0 - 128.0) / 127.0 * limit;
}

vec3 colorOf(int surfel, vec3 base, vec3 limits, vec3 d) {
  vec3 c = base;
  if (uHarmonicTexels >= 3) {
    c += 0.4886025119029199 *
      (-d.y * harmonic(surfel, 1, limits.x) + d.z * harmonic(surfel, 2, limits.x) - d.x * harmonic(surfel, 3, limits.x));
  }
  if (uHarmonicTexels >= 8) {
    c += 1.0925484305920792 * d.x * d.y * harmonic(surfel, 4, limits.y)
       - 1.0925484305920792 * d.y * d.z * harmonic(surfel, 5, limits.y)
       + 0.31539156525252005 * (2.0 * d.z * d.z - d.x * d.x - d.y * d.y) * harmonic(surfel, 6, limits.y)
       - 1.0925484305920792 * d.x * d.z * harmonic(surfel, 7, limits.y)
       + 0.5462742152960396 * (d.x * d.x - d.y * d.y) * harmonic(surfel, 8, limits.y);
  }
  if (uHarmonicTexels >= 15) {
    float xx = d.x * d.x, yy = d.y * d.y, zz = d.z * d.z;
    c += -0.5900435899266435 * d.y * (3.0 * xx - yy) * harmonic(surfel, 9, limits.z)
       + 2.890611442640554 * d.x * d.y * d.z * harmonic(surfel, 10, limits.z)
       - 0.4570457994644658 * d.y * (4.0 * zz - xx - yy) * harmonic(surfel, 11, limits.z)
       + 0.3731763325901154 * d.z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * harmonic(surfel, 12, limits.z)
       - 0.4570457994644658 * d.x * (4.0 * zz - xx - yy) * harmonic(surfel, 13, limits.z)
       + 1.445305721320277 * d.z * (xx - yy) * harmonic(surfel, 14, limits.z)
       - 0.5900435899266435 * d.x * (xx - 3.0 * yy) * harmonic(surfel, 15, limits.z);
  }
  return max(c, 0.0);
}

// Box around the image of the disc m + cos(t) u + sin(t) v, in pixels from the principal point: low in xy, high in zw.
vec4 boxOf(vec3 m, vec3 u, vec3 v) {
  float d = m.z * m.z - u.z * u.z - v.z * v.z;
  if (m.z - sqrt(u.z * u.z + v.z * v.z) > NEAR) {
    vec2 middle = (m.xy * m.z - u.xy * u.z - v.xy * v.z) / d;
    vec2 reach = sqrt(max(middle * middle - (m.xy * m.xy - u.xy * u.xy - v.xy * v.xy) / d, 0.0));
    return vec4((middle - reach) * uFocal, (middle + reach) * uFocal);
  }
  // The disc reaches behind the camera: its outline is extreme where it turns back, or where the near plane cuts it.
  vec3 equations[3] = vec3[3](
    vec3(v.x * m.z - m.x * v.z, m.x * u.z - u.x * m.z, v.x * u.z - u.x * v.z),
    vec3(v.y * m.z - m.y * v.z, m.y * u.z - u.y * m.z, v.y * u.z - u.y * v.z),
    vec3(u.z, v.z, m.z - NEAR));
  vec2 low = vec2(1e30), high = vec2(-1e30);
  for (int i = 0; i < 3; i++) {
    vec3 e = equations[i];
    float share = -e.z / length(e.xy);
    if (!(abs(share) <= 1.0)) continue;
    for (int side = -1; side <= 1; side += 2) {
      float t = atan(e.y, e.x) + float(side) * acos(share);
      vec3 p = m + cos(t) * u + sin(t) * v;
      if (p.z < NEAR * 0.99) continue;
      low = min(low, p.xy / p.z);
      high = max(high, p.xy / p.z);
    }
  }
  return low.x <= high.x ? vec4(low * uFocal, high * uFocal) : vec4(-1e9, -1e9, 1e9, 1e9);
}

void main() {
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside: not drawn
  int surfel = int(aSurfel);
  vec4 centerOpacity = texel(uCenters, surfel);
  vec4 turn = texel(uShapes, ${SURFEL_TEXELS} * surfel);
  vec4 colorScale = texel(uShapes, ${SURFEL_TEXELS} * surfel + 1);
  vec4 scaleLayer = texel(uShapes, ${SURFEL_TEXELS} * surfel + 2);
  vec4 weights = texel(uShapes, ${SURFEL_TEXELS} * surfel + 3);
  vec4 frame = texel(uShapes, ${SURFEL_TEXELS} * surfel + 4);
  vec4 layer = texel(uLayers, int(scaleLayer.y));
  uvec4 bones = texelFetch(uBones, ivec2(surfel % ${TABLE_WIDTH}, surfel / ${TABLE_WIDTH}), 0);
  float opacity = centerOpacity.w;
  if (opacity < 1.0 / 255.0) return;

  vec3 p = centerOpacity.xyz;
  vec4 moved = warp(bones, weights, layer.x > 0.5, p);
  vec3 m = uCamFromWorld * vec4(p, 1.0);
  if (m.z <= NEAR) return;

  vec4 q = product(moved, turn);
  mat3 rotation = mat3(uCamFromWorld);
  vec3 tu = rotation * turned(q, vec3(1.0, 0.0, 0.0)), tv = rotation * turned(q, vec3(0.0, 1.0, 0.0));
  vec3 n = cross(tu, tv);
  vec3 ray = m / m.z;
  vec2 c = uFocal * ray.xy + uPrincipal;
  float least = 1e-4 * m.z / max(uFocal.x, uFocal.y);
  float su = max(colorScale.w, least), sv = max(scaleLayer.x, least);
  float facing = dot(n, ray);
  vec2 h = vec2(0.0), a = vec2(1e4, 0.0), b = vec2(0.0, 1e4);
  float r2 = 2.0 * log(opacity * 255.0), circle = sqrt(r2 / 2.0);
  vec4 box = vec4(c - circle, c + circle);
  if (abs(facing) >= EDGE_ON * length(ray)) {
    h = n.xy / uFocal / facing;
    a = (tu.xy / uFocal - dot(tu, ray) * h) * (m.z / su);
    b = (tv.xy / uFocal - dot(tv, ray) * h) * (m.z / sv);
    vec4 disc = boxOf(m, sqrt(r2) * su * tu, sqrt(r2) * sv * tv) + uPrincipal.xyxy;
    box = vec4(min(box.xy, disc.xy), max(box.zw, disc.zw));
  }
  box = clamp(box, vec4(-1.0), uSize.xyxy + 1.0);
  if (box.x >= box.z || box.y >= box.w) return;

  vec4 colorTurn = product(moved, frame);
  vec3 view = turned(vec4(-colorTurn.xyz, colorTurn.w), normalize(p - uEye));
  vCenterSlope = vec4(c, h);
  vAxes = vec4(a, b);
  vColor = vec4(colorOf(surfel, colorScale.rgb, layer.yzw, view), opacity);
  vReach = vec2(r2, m.z);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 pixel = mix(box.xy, box.zw, corner);
  gl_Position = vec4(2.0 * pixel.x / uSize.x - 1.0, 1.0 - 2.0 * pixel.y / uSize.y, 0.0, 1.0);
}
`;

export const surfelFragment = `#version 300 es
precision highp float;
uniform vec2 uSize;
flat in vec4 vCenterSlope;
flat in vec4 vAxes;
flat in vec4 vColor;
flat in vec2 vReach;
out vec4 color;

void main() {
  vec2 d = vec2(gl_FragCoord.x, uSize.y - gl_FragCoord.y) - vCenterSlope.xy;
  float den = 1.0 + dot(vCenterSlope.zw, d);
  float rho = 2.0 * dot(d, d);
  if (den > 0.0 && den * 0.01 < vReach.y) {
    vec2 s = vec2(dot(vAxes.xy, d), dot(vAxes.zw, d)) / den;
    rho = min(rho, dot(s, s));
  }
  if (rho > vReach.x) discard;
  float alpha = min(vColor.a * exp(-0.5 * rho), 0.999);
  color = vec4(vColor.rgb * alpha, alpha);
}
`;

export const screenVertex = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}
`;

export const screenFragment = `#version 300 es
precision highp float;
uniform highp sampler2D uImage;
uniform vec3 uBackground;
out vec4 color;

void main() {
  vec4 image = texelFetch(uImage, ivec2(gl_FragCoord.xy), 0);
  color = vec4(image.rgb + (1.0 - image.a) * uBackground, 1.0);
}
`;
