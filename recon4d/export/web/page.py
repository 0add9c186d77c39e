"""The page that plays a scene: one HTML file with everything in it, or a folder of a page, the player and the scene.

Nothing in it comes from or goes to a network, and its content security policy says so.  Names from the scene reach the
page as text only.  Does NOT pack scenes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

_PLAYER = Path(__file__).with_name("player.js")  # built from player/*.js; see docs/web-player.md
_STYLE = Path(__file__).parent / "player" / "page.css"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="recon4d">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<canvas id="picture" tabindex="0" role="img" aria-label="{title}: a moving 3D scene. Drag to turn it."></canvas>
<div id="controls"></div>
<p id="status" role="status">Reading the scene &hellip;</p>
<noscript><p>This page plays a 3D scene and needs JavaScript.</p></noscript>
{scripts}
</body>
</html>
"""


def single_page(title: str, packed: bytes) -> bytes:
    """One HTML file that holds the player and a packed scene."""
    player = player_source()
    scene = base64.b64encode(packed).decode()
    scripts = f'<script type="text/plain" id="scene">{scene}</script>\n<script>{player}</script>'
    return _page(title, f"script-src '{_digest(player)}'", scripts)


def folder_files(title: str, packed: bytes) -> dict[str, bytes]:
    """The files of a folder: a page that loads the player and the scene from beside it, from a server or a disk."""
    scene = f'window.recon4dScene="{base64.b64encode(packed).decode()}";\n'
    scripts = '<script src="scene.js"></script>\n<script src="player.js"></script>'
    return {
        "index.html": _page(title, "script-src 'self' file:", scripts),
        "player.js": player_source().encode(),
        "scene.js": scene.encode(),
    }


@cache
def player_source() -> str:
    """The built player."""
    return _PLAYER.read_text(encoding="utf-8").strip()


def _page(title: str, scripts_from: str, scripts: str) -> bytes:
    style = _STYLE.read_text(encoding="utf-8").strip()
    policy = f"default-src 'none'; {scripts_from}; style-src '{_digest(style)}'; img-src data: blob:"
    return _PAGE.format(policy=policy, title=escape(title), style=style, scripts=scripts).encode()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
