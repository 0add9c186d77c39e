// Starts the player: reads the scene in the page, makes the renderer and the controls, and runs the clock.
//
// The page can be driven by scripts through `window.recon4d` (docs/web-player.md), and opened at a moment by an address
// that ends in #t=SECONDS.

import { Clock } from "./clock.js";
import { Controls } from "./controls.js";
import { Renderer } from "./draw.js";
import { Orbit } from "./orbit.js";
import { readScene } from "./scene.js";

const BACKGROUNDS = ["#ffffff", "#808080", "#101014", "#000000"];
const MOST_DENSE = 2; // device pixels for a pixel of the page: more costs time and shows nothing

class Player {
  constructor(canvas, scene) {
    const { header, layers } = scene;
    this.canvas = canvas;
    this.header = header;
    this.layers = layers;
    this.title = header.title;
    this.clock = new Clock(header.times);
    this.background = header.background;
    this.fixedCamera = null;
    this.travels = Boolean(header.follow);
    this.following = this.travels;
    this.dirty = true;
    this.renderer = new Renderer(canvas, layers);
    this.orbit = new Orbit(canvas, { ...header.view, radius: header.radius }, header.up, () => this.viewChanged());
    this.watchContext();
    new ResizeObserver(() => (this.dirty = true)).observe(canvas);
    // Whether any frame of the animation has passed; requests of a hidden page wait.
    let before = performance.now();
    const frame = (now) => {
      this.clock.tick(Math.min(now - before, 250) / 1000);
      before = now;
      if (this.clock.playing || this.dirty) this.draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  viewChanged() {
    this.fixedCamera = null;
    this.dirty = true;
  }

  /** Draws the picture now. */
  draw() {
    const canvas = this.canvas;
    const dense = Math.min(devicePixelRatio || 1, MOST_DENSE);
    const [width, height] = this.fixedCamera?.size ?? [canvas.clientWidth * dense, canvas.clientHeight * dense].map(Math.round);
    if (width < 1 || height < 1 || this.lost) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const time = this.clock.shown;
    this.orbit.offset = this.following ? middleAt(this.header.follow, time) : [0, 0, 0];
    if (this.drawnTime !== time) this.renderer.setTime(time);
    this.drawnTime = time;
    this.renderer.draw(this.fixedCamera ?? this.orbit.camera(width, height), rgb(this.background));
    this.dirty = false;
    this.controls?.update();
  }

  togglePlay() {
    this.clock.play();
    this.dirty = true;
  }

  scrub(time) {
    this.clock.play(false);
    this.clock.set(time);
    this.dirty = true;
  }

  step(frames) {
    this.clock.step(frames);
    this.dirty = true;
  }

  setSpeed(speed) {
    this.clock.speed = speed;
    this.dirty = true;
  }

  toggleLoop() {
    this.clock.loop = !this.clock.loop;
    this.dirty = true;
  }

  setBackground(color) {
    this.background = color;
    this.dirty = true;
  }

  nextBackground() {
    this.setBackground(BACKGROUNDS[(BACKGROUNDS.indexOf(this.background) + 1) % BACKGROUNDS.length]);
  }

  showLayer(number, visible) {
    this.layers[number].visible = visible;
    this.dirty = true;
  }

  follow(on) {
    this.following = on;
    this.dirty = true;
  }

  resetView() {
    this.orbit.reset();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.();
  }

  /** The picture as a PNG in a data address; drawn anew, because browsers forget what they have shown. */
  picture() {
    this.draw();
    return this.canvas.toDataURL("image/png");
  }

  savePicture() {
    const link = document.createElement("a");
    link.href = this.picture();
    link.download = `picture-${this.clock.shown.toFixed(2)}s.png`;
    link.click();
  }

  /** Looks through a given camera, with a picture of exactly its size, until the view is moved. */
  setCamera(camFromWorld, focal, principal, size) {
    this.fixedCamera = { camFromWorld, focal, principal, size };
    this.dirty = true;
  }

  /** A browser may take the graphics away and give them back. */
  watchContext() {
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.lost = true;
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer = new Renderer(this.canvas, this.layers);
      Object.assign(this, { lost: false, drawnTime: undefined, dirty: true });
    });
  }
}

/** How far the subject is from its middle place at a time. */
function middleAt(follow, time) {
  const n = follow.middles.length;
  const place = Math.min(Math.max((time - follow.first) / follow.step, 0), n - 1);
  const i = Math.min(Math.floor(place), n - 2);
  const share = place - i;
  return [0, 1, 2].map((a) => (1 - share) * follow.middles[i][a] + share * follow.middles[i + 1][a]);
}

const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);

async function start() {
  const status = document.getElementById("status");
  try {
    const canvas = document.getElementById("picture");
    const player = new Player(canvas, await readScene(document.getElementById("scene")?.textContent ?? window.recon4dScene));
    player.controls = new Controls(document.getElementById("controls"), player);
    const asked = new URLSearchParams(location.hash.slice(1)).get("t");
    if (asked !== null && Number.isFinite(Number(asked))) player.scrub(Number(asked));
    else if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.clock.play(true);
    player.draw();
    status.hidden = true;
    window.recon4d = player;
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    status.textContent = `This scene cannot be shown: ${error.message}.`;
    document.documentElement.dataset.ready = "failed";
  }
}

start();
