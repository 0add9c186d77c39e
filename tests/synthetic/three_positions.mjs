// Prints the world positions that three.js computes for every vertex of a .glb at given times.
// Usage: node three_positions.mjs NODE_MODULES FILE.glb CLIP_INDEX TIME...
// Output: JSON {"TIME": {"NODE/PRIMITIVE": [x, y, z, ...]}} with the file's own node and primitive numbers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, file, clipIndex, ...times] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, "three", path)).href);
const THREE = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");

// Images need a browser; positions do not need images.
function withoutMaterials(buffer) {
  const length = buffer.readUInt32LE(12);
  const json = JSON.parse(buffer.subarray(20, 20 + length).toString());
  for (const key of ["materials", "textures", "images", "samplers"]) delete json[key];
  for (const mesh of json.meshes) for (const primitive of mesh.primitives) delete primitive.material;
  let text = Buffer.from(JSON.stringify(json));
  text = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  const rest = buffer.subarray(20 + length);
  const head = Buffer.alloc(20);
  buffer.copy(head, 0, 0, 20);
  head.writeUInt32LE(20 + text.length + rest.length, 8);
  head.writeUInt32LE(text.length, 12);
  return Buffer.concat([head, text, rest]);
}

const glb = withoutMaterials(readFileSync(file));
const gltf = await new GLTFLoader().parseAsync(glb.buffer.slice(glb.byteOffset, glb.byteOffset + glb.length), "");
const mixer = new THREE.AnimationMixer(gltf.scene);
if (gltf.animations.length) mixer.clipAction(gltf.animations[Number(clipIndex)]).play();

const result = {};
for (const time of times) {
  mixer.setTime(Number(time));
  gltf.scene.updateMatrixWorld(true);
  const meshes = {};
  gltf.scene.traverse((object) => {
    if (!object.isMesh) return;
    if (object.isSkinnedMesh) object.skeleton.update();
    const own = gltf.parser.associations.get(object) ?? {};
    const node = own.nodes ?? gltf.parser.associations.get(object.parent)?.nodes;
    const flat = [];
    const v = new THREE.Vector3();
    for (let i = 0; i < object.geometry.attributes.position.count; i++) {
      object.getVertexPosition(i, v).applyMatrix4(object.matrixWorld);
      flat.push(v.x, v.y, v.z);
    }
    meshes[`${node}/${own.primitives ?? 0}`] = flat;
  });
  result[time] = meshes;
}
process.stdout.write(JSON.stringify(result));
