"""The page that browsers get: viser's own, under our name, with files that can be dropped on it.

Does NOT know scenes: what is seen of one before the socket is open is given.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

TITLE = "recon4d"

# viser flies the camera with these keys, which belong to tools here; its listener is one step further out than that of
# the commands.
_KEYS = """
<script>
const flying = new Set([
  "KeyW", "KeyA", "KeyS", "KeyD", "KeyQ", "KeyE", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight",
]);
document.documentElement.addEventListener("keydown", (event) => {
  if (flying.has(event.code)) event.stopPropagation();
});
</script>
"""

# A file that is dropped anywhere goes to the upload button that takes its kind, as if it had been chosen there; what
# none takes goes to the one for assets, which says what it takes.
_DROP = """
<script>
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (!file) return;
  const inputs = [...document.querySelectorAll('input[type="file"]')];
  const taking = (kind) => inputs.find((input) => input.accept.split(",").includes(kind));
  const kind = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
  const input = taking(kind) ?? taking(file.type) ?? taking(".glb");
  if (!input) return;
  const one = new DataTransfer();
  one.items.add(file);
  input.files = one.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
</script>
"""


def branded(poster: str = "") -> bytes:
    """The page as it is sent.

    Args:
        poster: HTML of what is seen until the program of the page runs.
    """
    before, after = _parts()
    return before + poster.encode() + after


@cache
def _parts() -> tuple[bytes, bytes]:
    """viser's page, before and after the end of its body."""
    text = files("viser").joinpath("client", "build", "index.html").read_text(encoding="utf-8")
    text = text.replace("<title>Viser</title>", f"<title>{TITLE}</title>", 1)
    head, mark, rest = text.partition("</head>")
    # The program is held in an attribute and in strings of the head, so the body ends where it is said last.
    body, end, tail = rest.rpartition("</body>")
    return (head + _KEYS + _DROP + mark + body).encode(), (end + tail).encode()
