// The buttons around the picture.  Every text from the scene goes in as text, never as markup.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// Drawn here, because fonts differ in which signs they have.
const SIGNS = {
  play: "M6 4l13 8-13 8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  back: "M5 5h3v14H5zM19 5v14l-10-7z",
  on: "M16 5h3v14h-3zM5 5v14l10-7z",
  loop: "M17 3l4 4-4 4V8H8a3 3 0 0 0-3 3v1H3v-1a5 5 0 0 1 5-5h9zM7 21l-4-4 4-4v3h9a3 3 0 0 0 3-3v-1h2v1a5 5 0 0 1-5 5H7z",
  home: "M12 3l9 8h-3v9h-5v-6h-2v6H6v-9H3z",
  save: "M11 3h2v9l3-3 1.4 1.4L12 15.8 6.6 10.4 8 9l3 3zM4 18h16v2H4z",
  full: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
};

function sign(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  for (const [key, value] of [["viewBox", "0 0 24 24"], ["aria-hidden", "true"]]) drawing.setAttribute(key, value);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SIGNS[name]);
  drawing.append(path);
  return drawing;
}

/** A button with a sign to look at and a name to be read out. */
function button(name, label, click, attributes = {}) {
  return element("button", { type: "button", "aria-label": label, title: label, onclick: click, ...attributes }, sign(name));
}

const KEYS = [
  ["Space", "play or pause"],
  ["Left, Right", "one frame back or on"],
  ["Home, End", "first or last frame"],
  ["[ and ]", "slower or faster"],
  ["L", "loop"],
  ["Shift + arrows", "turn the camera"],
  ["+ and -", "nearer or farther"],
  ["R", "start view"],
  ["B", "next background"],
  ["S", "save a picture"],
  ["F", "full screen"],
  ["H", "hide or show the controls"],
];

export class Controls {
  /** player: the actions of main.js. */
  constructor(root, player) {
    this.player = player;
    this.root = root;
    const moves = player.clock.moves;
    const { first, last, frame } = player.clock.times;
    this.playButton = button("play", "Play", () => player.togglePlay());
    this.slider = element("input", {
      type: "range", min: first, max: last, step: Math.min(frame / 8, (last - first) / 1000 || 1), value: first,
      "aria-label": "Time in seconds", oninput: () => player.scrub(Number(this.slider.value)),
    });
    this.label = element("output", { "aria-live": "off", class: "time" });
    this.speed = element("select", {
      "aria-label": "Speed", title: "Speed", onchange: () => player.setSpeed(Number(this.speed.value)),
    }, ...SPEEDS.map((speed) => element("option", { value: speed, selected: speed === 1 }, `${speed}x`)));
    this.loop = button("loop", "Loop", () => player.toggleLoop(), { "aria-pressed": "true" });
    const bar = element("div", { class: "bar", role: "group", "aria-label": "Time" },
      button("back", "One frame back", () => player.step(-1)), this.playButton,
      button("on", "One frame on", () => player.step(1)), this.slider, this.label, this.speed, this.loop);
    this.background = element("input", {
      type: "color", "aria-label": "Background colour", title: "Background colour",
      oninput: () => player.setBackground(this.background.value),
    });
    this.shown = player.layers.map((_, number) => element("input", {
      type: "checkbox", checked: true, onchange: (event) => player.showLayer(number, event.target.checked),
    }));
    const layers = element("fieldset", {}, element("legend", {}, "Layers"),
      ...player.layers.map((layer, number) => element("label", {}, this.shown[number], element("span", {}, layer.name))));
    const help = element("details", {}, element("summary", {}, "Keys"),
      element("dl", {}, ...KEYS.flatMap(([key, what]) => [element("dt", {}, key), element("dd", {}, what)])));
    this.follow = element("input", {
      type: "checkbox", checked: player.following, onchange: () => player.follow(this.follow.checked),
    });
    const view = element("div", { class: "row" },
      button("home", "Start view", () => player.resetView()), button("save", "Save a picture", () => player.savePicture()),
      button("full", "Full screen", () => player.fullScreen()), this.background);
    const travels = player.travels ? [element("label", {}, this.follow, element("span", {}, "Follow the subject"))] : [];
    const panel = element("details", { class: "panel", open: innerWidth > 640 },
      element("summary", {}, player.title), view, layers, ...travels, help);
    root.append(panel, ...(moves ? [bar] : []));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  update() {
    const { clock, background } = this.player;
    this.playButton.firstChild.firstChild.setAttribute("d", clock.playing ? SIGNS.pause : SIGNS.play);
    this.playButton.setAttribute("aria-label", clock.playing ? "Pause" : "Play");
    this.playButton.title = clock.playing ? "Pause" : "Play";
    this.slider.value = clock.shown;
    this.slider.setAttribute("aria-valuetext", `${clock.shown.toFixed(2)} seconds`);
    this.label.textContent = `${clock.shown.toFixed(2)} / ${clock.times.last.toFixed(2)} s`;
    this.loop.setAttribute("aria-pressed", String(clock.loop));
    this.speed.value = clock.speed;
    this.shown.forEach((box, number) => (box.checked = this.player.layers[number].visible));
    this.follow.checked = this.player.following;
    if (this.background.value !== background) this.background.value = background;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest?.("select, input:not([type=checkbox])");
    const pressed = event.target.closest?.("button, summary, input[type=checkbox]");
    if (inField || (pressed && (event.key === " " || event.key === "Enter"))) return;
    const player = this.player;
    const turn = 0.1;
    const turns = {
      ArrowLeft: () => player.orbit.rotate(turn, 0), ArrowRight: () => player.orbit.rotate(-turn, 0),
      ArrowUp: () => player.orbit.rotate(0, turn), ArrowDown: () => player.orbit.rotate(0, -turn),
    };
    const actions = {
      " ": () => player.togglePlay(), ArrowLeft: () => player.step(-1), ArrowRight: () => player.step(1),
      Home: () => player.scrub(player.clock.times.first), End: () => player.scrub(player.clock.times.last),
      "[": () => this.changeSpeed(-1), "]": () => this.changeSpeed(1), l: () => player.toggleLoop(),
      "+": () => player.orbit.zoom(0.9), "=": () => player.orbit.zoom(0.9), "-": () => player.orbit.zoom(1 / 0.9),
      r: () => player.resetView(), b: () => player.nextBackground(), s: () => player.savePicture(),
      f: () => player.fullScreen(), h: () => this.root.classList.toggle("hidden"),
    };
    const action = (event.shiftKey && turns[event.key]) || actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  changeSpeed(by) {
    const at = SPEEDS.indexOf(this.player.clock.speed);
    this.player.setSpeed(SPEEDS[Math.min(Math.max(at + by, 0), SPEEDS.length - 1)]);
  }
}
