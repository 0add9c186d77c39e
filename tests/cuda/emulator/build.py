"""Builds the CUDA module for the CPU: the very same sources, compiled by g++ against the block emulator.

The result is `_ext_cuda` with arrays of the CPU, and three functions more: `set_schedule`, `skip_barrier`, `barriers`.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

EMULATOR = Path(__file__).resolve().parent
CUDA = EMULATOR.parents[2] / "cuda"
DOMAIN = "recon4d_emulator"
"""nanobind's registry of classes: the real module, if there is one, has classes of the same names in this process."""
KERNELS = ("rasterize", "optimizer", "ssim")


def compiler() -> str | None:
    """The C++ compiler, if there is one."""
    return shutil.which("g++")


def flags(cuda: Path) -> list[str]:
    """What every file is compiled with."""
    import nanobind

    robin_map = Path(nanobind.include_dir()).parent / "ext" / "robin_map" / "include"
    includes = (
        cuda / "include",
        cuda / "gpu",
        EMULATOR,
        nanobind.include_dir(),
        robin_map,
        sysconfig.get_path("include"),
    )
    # The order of blending depends on the last bit of a product: no contraction, as in the real builds.
    fixed = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing")
    quiet = ("-Wall", "-Werror", "-Wno-unknown-pragmas")
    return [
        *fixed,
        *quiet,
        "-DR4D_EMULATE",
        "-DR4D_MODULE=_ext_cuda",
        f"-DNB_DOMAIN={DOMAIN}",
        *(f"-I{path}" for path in includes),
    ]


def compile_kernels(folder: Path, cuda: Path = CUDA, names: tuple[str, ...] = KERNELS) -> list[tuple[str, ...]]:
    """Commands that compile the kernels of a source tree into `folder`."""
    sources = [cuda / "gpu" / f"{name}.cu" for name in names]
    return [("-O1", "-x", "c++", "-c", str(s), "-o", str(folder / f"{s.stem}.o")) for s in sources]


def compile_rest(folder: Path) -> list[tuple[str, ...]]:
    """Commands that compile everything else: the bindings, nanobind, the context switch."""
    import nanobind

    return [
        ("-O0", "-c", str(CUDA / "bindings" / "module_cuda.cpp"), "-o", str(folder / "module.o")),
        ("-O0", "-w", "-c", str(Path(nanobind.source_dir()) / "nb_combined.cpp"), "-o", str(folder / "nanobind.o")),
        ("-O1", "-c", str(EMULATOR / "switch.cpp"), "-o", str(folder / "switch.o")),
    ]


def run(commands: list[tuple[str, ...]], cuda: Path = CUDA) -> None:
    """Run compiler commands two at a time."""
    common = [compiler() or "g++", *flags(cuda)]

    def one(command: tuple[str, ...]) -> None:
        done = subprocess.run([*common, *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, commands))


def link(objects: list[Path], library: Path) -> None:
    """Link object files into an extension module."""
    run([("-shared", *map(str, objects), "-o", str(library))])


def load(library: Path) -> ModuleType:
    """Import an extension module from a file, without giving it a name that others could import it by."""
    loader = importlib.machinery.ExtensionFileLoader("_ext_cuda", str(library))
    spec = importlib.util.spec_from_loader("_ext_cuda", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
