"""A page that only remembers its controls, for what is built of them without a browser."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Control:
    """A control that remembers its value and what is called when somebody changes it."""

    def __init__(self, label: str, value: Any, options: tuple[Any, ...] = ()) -> None:
        self.label, self.value, self.visible, self.content = label, value, True, value
        self.options = options
        self.callbacks: list[Callable[[Any], None]] = []

    def on_update(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    on_click = on_update

    def remove(self) -> None:
        self.visible = False

    close = remove

    def set(self, value: Any) -> None:
        """As a person would."""
        assert not self.options or value in self.options, f"{self.label} offers {self.options}"
        self.value = value
        for callback in self.callbacks:
            callback(SimpleNamespace(client="client"))


class Folder(Control):
    """A container of controls."""

    def __init__(self, page: Page, label: str) -> None:
        super().__init__(label, None)
        self.page = page

    def __enter__(self) -> Folder:
        self.page.open.append(self.label)
        return self

    def __exit__(self, *_: object) -> None:
        self.page.open.pop()


class Page:
    """What a form asks of viser.

    Attributes:
        controls: by folders and label, "Asset/Path", and by the label alone where it is in a folder only.
        texts: what stands between the controls.
    """

    def __init__(self) -> None:
        self.found: dict[str, Control] = {}
        self.controls: ChainMap[str, Control] = ChainMap({}, self.found)
        self.open: list[str] = []
        self.texts: list[str] = []

    def _add(self, label: str, value: Any, options: tuple[Any, ...] = ()) -> Control:
        made = self.controls["/".join([*self.open, label])] = Control(label, value, options)
        self.found[label] = made
        return made

    def add_checkbox(self, label: str, value: bool, **_: Any) -> Control:
        return self._add(label, value)

    def add_number(self, label: str, value: float, **_: Any) -> Control:
        return self._add(label, value)

    def add_text(self, label: str, value: str, **_: Any) -> Control:
        return self._add(label, value)

    def add_vector3(self, label: str, value: tuple[float, ...], **_: Any) -> Control:
        return self._add(label, value)

    def add_rgb(self, label: str, value: tuple[int, ...], **_: Any) -> Control:
        return self._add(label, value)

    def add_dropdown(self, label: str, options: tuple[Any, ...], initial_value: Any = None, **_: Any) -> Control:
        first = options[0] if initial_value is None else initial_value
        assert first in options
        return self._add(label, first, tuple(options))

    def add_button_group(self, label: str, options: tuple[str, ...], **_: Any) -> Control:
        return self._add("/".join(options), options[0], tuple(options))

    def add_button(self, label: str, **_: Any) -> Control:
        return self._add(label, False)

    def add_upload_button(self, label: str, **_: Any) -> Control:
        return self._add(label, None)

    def add_slider(self, label: str, *rest: float, initial_value: float | None = None, **_: Any) -> Control:
        return self._add(label, rest[-1] if initial_value is None else initial_value)

    def add_modal(self, label: str, **_: Any) -> Folder:
        return Folder(self, label)

    def add_progress_bar(self, value: float, **_: Any) -> Control:
        return Control("", value)

    def add_markdown(self, content: str, **_: Any) -> Control:
        self.texts.append(content)
        return Control("", content)

    def add_folder(self, label: str, **_: Any) -> Folder:
        return Folder(self, label)
