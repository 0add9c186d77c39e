// A camera that goes around a point: mouse, wheel, touch and keys.  Knows nothing of scenes.

import { add, aside, clamp, cross, dot, length, lookAt, normalize, scale, sub } from "./vectors.js";

const MOST_TILT = 1.55; // radians: straight up and down have no horizon

export class Orbit {
  /** view: {eye, target, fovY}; up: unit vector; changed: called after every movement. */
  constructor(canvas, view, up, changed) {
    this.canvas = canvas;
    this.up = up;
    this.start = view;
    this.changed = changed;
    this.ahead = aside(up);
    this.side = cross(up, this.ahead);
    this.offset = [0, 0, 0]; // added while the subject is followed
    this.pointers = new Map();
    this.reset();
    this.listen();
  }

  reset() {
    this.target = this.start.target;
    this.fovY = this.start.fovY;
    const away = sub(this.start.eye, this.start.target);
    this.distance = length(away) || 1;
    const d = normalize(away);
    this.turn = Math.atan2(dot(d, this.side), dot(d, this.ahead));
    this.tilt = clamp(Math.asin(clamp(dot(d, this.up), -1, 1)), -MOST_TILT, MOST_TILT);
    this.changed();
  }

  /** The camera for a canvas of so many pixels. */
  camera(width, height) {
    const flat = add(scale(this.ahead, Math.cos(this.turn)), scale(this.side, Math.sin(this.turn)));
    const away = add(scale(flat, Math.cos(this.tilt)), scale(this.up, Math.sin(this.tilt)));
    const target = add(this.target, this.offset);
    const eye = add(target, scale(away, this.distance));
    // The start view stays whole in windows that are taller than wide.
    const short = Math.min(height, width / this.start.aspect);
    const focal = (0.5 * short) / Math.tan(this.fovY / 2);
    return {
      camFromWorld: lookAt(eye, target, this.up),
      focal: [focal, focal],
      principal: [width / 2, height / 2],
    };
  }

  rotate(dx, dy) {
    this.turn -= dx;
    this.tilt = clamp(this.tilt + dy, -MOST_TILT, MOST_TILT);
    this.changed();
  }

  zoom(factor) {
    this.distance = clamp(this.distance * factor, 1e-3 * this.start.radius, 1e3 * this.start.radius);
    this.changed();
  }

  pan(dx, dy) {
    const { camFromWorld, focal } = this.camera(this.canvas.clientWidth, this.canvas.clientHeight);
    const step = this.distance / focal[0];
    const [right, down] = camFromWorld.map((row) => row.slice(0, 3));
    this.target = sub(this.target, add(scale(right, dx * step), scale(down, dy * step)));
    this.changed();
  }

  listen() {
    const canvas = this.canvas;
    const speed = () => Math.PI / Math.max(1, Math.min(canvas.clientWidth, canvas.clientHeight));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      if (this.pointers.size === 1) {
        if (event.buttons & 6 || event.shiftKey) this.pan(dx, dy);
        else this.rotate(dx * speed(), dy * speed());
      } else if (this.pointers.size === 2) {
        const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
        const apart = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
        this.zoom(Math.max(apart(before), 1) / Math.max(apart(event), 1));
        this.pan(dx / 2, dy / 2);
      }
      this.pointers.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
        this.zoom(Math.exp(clamp(event.deltaY * lines, -300, 300) * 0.001));
      },
      { passive: false },
    );
  }
}
