// Shows a PLY file of splats with Spark and three.js, through a camera of three.js's axes.
import * as THREE from "three";
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";

window.show = async (base64, worldFromCamera, fovY, width, height) => {
  const fileBytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  renderer.setSize(width, height, false);
  renderer.setClearColor(0xffffff, 1);
  const scene = new THREE.Scene();
  scene.add(new SparkRenderer({ renderer }));
  const splats = new SplatMesh({ fileBytes, fileType: "ply" });
  await splats.initialized;
  scene.add(splats);
  const camera = new THREE.PerspectiveCamera(fovY, width / height, 0.01, 1000);
  camera.matrixAutoUpdate = false;
  camera.matrix.set(...worldFromCamera);
  const centers = [];
  splats.packedSplats.forEachSplat((_, center) => centers.push(center.toArray()));
  // Spark sorts beside the drawing, so the first pictures lack splats: draw until one is like the one before.
  let before = null;
  for (let i = 0; i < 100; i++) {
    renderer.render(scene, camera);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const picture = renderer.domElement.toDataURL();
    if (i > 5 && picture === before) break;
    before = picture;
  }
  return { picture: before, centers };
};
