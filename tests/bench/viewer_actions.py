"""What an artist might do, at random, for the soak of the viewer: by the page's own messages where a hand is meant.

Each action is bounded, so that what grows over an hour is the viewer's and not the artist's: edits are taken back when
they are many, exports are removed, and so many files are brought in and no more.
"""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trimesh

from recon4d.core import Recon4dError
from recon4d.core.memory import return_freed_memory
from recon4d.editors import Recolor
from recon4d.editors.history import SetStack
from recon4d.viewer import threads
from recon4d.viewer.look import MODES
from recon4d.viewer.pointing import click

MOST_EDITS = 12
MOST_FILES = 10
LASTING = ("recon4d-painter", "recon4d-session")  # threads that do not end by themselves
FORMATS = ("splats", "splats-2d", "splats-glb", "depth")
_CRATE = trimesh.creation.box((0.3, 0.3, 0.3)).export(file_type="glb")

Action = Callable[[], Awaitable[Any] | Any]


class Artist:
    """A hand at one client's page.

    Args:
        connection: the client's socket.
        session: behind it.
        window: its panels.
        chance: what it does by.
    """

    def __init__(self, connection: Any, session: Any, window: Any, chance: random.Random) -> None:
        self.connection, self.session, self.window, self.chance = connection, session, window, chance
        self.done: dict[str, int] = {}
        self.files = 0
        self.actions: dict[str, tuple[int, Action]] = {
            "select": (6, self.select), "colour": (3, self.colour), "travel": (6, self.travel),
            "play": (2, window.timeline.toggle), "step": (3, lambda: window.timeline.step(chance.choice((-1, 1)))),
            "scrub": (3, lambda: session.seek(chance.random())), "look": (3, self.look), "mesh": (1, self.mesh),
            "clear": (1, session.selecting.clear), "back": (1, session.selecting.back),
            "values": (1, self.values), "plane": (1, self.plane), "gizmo": (3, self.gizmo), "stroke": (3, self.stroke),
            "paint": (2, self.paint), "form": (4, self.form), "key": (1, window.output.add_key),
            "film": (1, self.film), "export": (1, self.export), "snapshot": (1, self.snapshot),
            "upload": (1, self.upload), "name": (1, self.name),
        }  # fmt: skip

    async def act(self) -> None:
        """One thing, and what keeps the scene from growing for ever."""
        names = list(self.actions)
        (name,) = self.chance.choices(names, [self.actions[one][0] for one in names])
        self.done[name] = self.done.get(name, 0) + 1
        action = self.actions[name][1]
        if asyncio.iscoroutinefunction(action):
            await action()
        else:
            await asyncio.to_thread(self.session.attempt, action)
        if len(self.session.project.stack) > MOST_EDITS:
            await asyncio.to_thread(self.session.attempt, lambda: self.session.project.do(SetStack(())))

    async def rest(self) -> None:
        """Take all back and wait, so that what memory is measured by is one scene and one look, and not luck."""
        await self._tidy()
        await asyncio.to_thread(self.session.attempt, self._plain)
        await asyncio.sleep(3.0)
        for _ in range(600):  # a mesh that nobody waits for any more is still being made
            if all(name.startswith(LASTING) for name in threads.running()):
                break
            await asyncio.sleep(0.1)
        gc.collect()
        return_freed_memory()

    def _plain(self) -> None:
        session = self.session
        session.project.do(SetStack(()))
        session.playback.playing = False
        session.selecting.clear()
        session.set_look(mode="Colour")

    async def send(self, **message: Any) -> None:
        """Send one message of the page."""
        await self.connection.send(msgspec.msgpack.encode(message))

    async def set(self, control: Any, value: Any) -> None:
        """Give a control a value, or press it."""
        await self.send(type="GuiUpdateMessage", uuid=control._impl.uuid, updates={"value": value})
        await asyncio.sleep(0.05)

    # ------------------------------------------------------------------------------------------------------ selecting

    def select(self) -> None:
        """Click on the scene."""
        spot = (self.chance.random(), self.chance.random())
        how = self.chance.choice(("New", "Add", "Remove", "Intersect"))
        self.session.selecting.take(click(self.session, spot, radius=0.3), how)

    async def values(self) -> None:
        """Select a range of values."""
        panel = self.window.values
        await self.set(panel.value, self.chance.choice(tuple(panel.value.options)))
        await self.set(panel.take, True)

    async def plane(self) -> None:
        """Select one side of an axis."""
        panel = self.window.plane
        await self.set(panel.axis, self.chance.choice(tuple(panel.axis.options)))
        await self.set(panel.take, True)

    async def stroke(self) -> None:
        """Draw with the brush or the lasso."""
        await self._draw(self.chance.choice(("Brush", "Lasso")))

    async def paint(self) -> None:
        """Paint on the scene."""
        await self._draw("Paint")

    async def _draw(self, tool: str) -> None:
        tools = self.window.bench.tools
        await asyncio.to_thread(self.session.attempt, lambda: tools.take(tool))
        x, y = 0.3 + 0.4 * self.chance.random(), 0.3 + 0.4 * self.chance.random()
        spots = [(x + 0.02 * i, y + 0.03 * self.chance.uniform(-1, 1)) for i in range(6)]
        for i, spot in enumerate(spots):
            phase = "start" if i == 0 else "end" if i == len(spots) - 1 else "update"
            await self.send(
                type="SceneNodeDragMessage", phase=phase, name="/tools/ball", owner=self._owner, instance_index=None,
                start_position=[0, 0, 1], start_screen_pos=spots[0], end_position=[0, 0, 1], end_screen_pos=spot,
                button="left", modifier=None,
            )  # fmt: skip
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.session.attempt, lambda: tools.take("Look"))

    @property
    def _owner(self) -> str:
        return str(self.session.client.client_id)

    # -------------------------------------------------------------------------------------------------------- editing

    def colour(self) -> None:
        """Recolour what is selected."""
        if self.session.selecting.marks:
            color = (self.chance.random(), self.chance.random(), self.chance.random())
            self.session.project.add(Recolor(select=self.session.selecting.needed(), color=color))

    def travel(self) -> None:
        """Undo, or redo."""
        history = self.session.project.history
        if self.chance.random() < 0.6 and history.past:
            self.session.project.undo()
        elif history.future:
            self.session.project.redo()

    async def gizmo(self) -> None:
        """Move what is selected by hand."""
        gizmo = self.window.bench.gizmo
        try:
            await asyncio.to_thread(gizmo.show)
        except Recon4dError:
            return  # nothing is selected
        handle = gizmo._handle
        if handle is None:
            return
        place, turn = [float(x) for x in handle.position], [float(x) for x in handle.wxyz]
        node = {"name": "/tools/gizmo", "owner": self._owner}
        await self.send(type="TransformControlsDragStartMessage", **node)
        for _ in range(4):
            place = [x + self.chance.uniform(-0.05, 0.05) for x in place]
            await self.send(type="TransformControlsUpdateMessage", wxyz=turn, position=place, **node)
            await asyncio.sleep(0.03)
        await self.send(type="TransformControlsDragEndMessage", **node)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(gizmo.hide)

    async def form(self) -> None:
        """Open the form of an edit, and make it as it stands, whether that can be done or not."""
        panel = self.window.edit
        await self.set(panel.kind, self.chance.choice(tuple(panel.kind.options)))
        await asyncio.sleep(0.1)
        await self.set(panel.apply, True)

    def name(self) -> None:
        """Name an edit, and put it in a group."""
        edits = self.session.project.stack.edits
        if edits:
            self.window.history.name(edits[-1].id, f"name {self.chance.randrange(5)}", self.chance.choice(("", "one")))

    # -------------------------------------------------------------------------------------------- looking, and output

    def look(self) -> None:
        """Another mode of the picture."""
        self.session.set_look(mode=self.chance.choice([mode for mode in MODES if mode != "Mesh"]))

    async def mesh(self) -> None:
        """The mesh, for as long as it takes to be made."""
        session = self.session
        await asyncio.to_thread(session.attempt, lambda: session.set_look(mode="Mesh"))
        await asyncio.sleep(1.0)

    def snapshot(self) -> None:
        """Keep the picture; that of a mesh is drawn by pages, and this one draws nothing."""
        if self.session.look.mode != "Mesh":
            self.window.output.save_snapshot()

    async def film(self) -> None:
        """Begin a film, and stop it at some frame."""
        panel = self.window.output
        await self.set(panel.path, "Turntable")
        await self.set(panel.render, True)
        await asyncio.sleep(self.chance.random())
        await self.set(panel.stop, True)
        await self._tidy()

    async def export(self) -> None:
        """Export in a format that is quick."""
        panel = self.window.output
        wanted = self.chance.choice(FORMATS)
        await self.set(panel.format, next(label for label, name in panel.formats.items() if name == wanted))
        await self.set(panel.export, True)
        await self._tidy()

    async def _tidy(self) -> None:
        for _ in range(200):
            if self.window.output.job is None:
                break
            await asyncio.sleep(0.1)
        else:
            return
        await asyncio.sleep(1.0)  # what is ready is read once more, for the browser
        shutil.rmtree(self.session.project.folder / "exports", ignore_errors=True)

    async def upload(self) -> None:
        """Bring a file in."""
        if self.files >= MOST_FILES:
            return
        self.files += 1
        where = {"source_component_uuid": self.window.edit.upload._impl.uuid, "transfer_uuid": f"soak-{self.files}"}
        about = {"filename": "crate.glb", "mime_type": "", "part_count": 1, "size_bytes": len(_CRATE)}
        await self.send(type="FileTransferStartUpload", **about, **where)
        await self.send(type="FileTransferPart", part_index=0, content=_CRATE, **where)
        await asyncio.sleep(0.3)
