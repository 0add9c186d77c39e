"""The emulated `cuda` backend, built once a session."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from types import ModuleType

import pytest

from tests.cuda.emulated import Emulated
from tests.cuda.emulator import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Path]:
    """The emulated native module, and the folder with its object files."""
    if build.compiler() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI promises a g++ to build the block emulator with")
        pytest.skip("no g++ to build the block emulator with")
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the emulator switches between its fibers with x86-64 instructions")
    folder = tmp_path_factory.mktemp("emulator")
    build.run([*build.compile_kernels(folder), *build.compile_rest(folder)])
    library = folder / "_ext_cuda.so"
    build.link(sorted(folder.glob("*.o")), library)
    return build.load(library), folder


@pytest.fixture(scope="session")
def native(built: tuple[ModuleType, Path]) -> ModuleType:
    """The emulated native module."""
    return built[0]


@pytest.fixture
def emulated(native: ModuleType) -> Emulated:
    """The backend on the emulator, threads in order unless the test asks for another schedule."""
    native.set_schedule(0)
    native.skip_barrier("")
    return Emulated.of(native)
