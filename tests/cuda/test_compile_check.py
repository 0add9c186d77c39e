"""The compile check notices spills, and kernels that it was told nothing of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cuda.compile_check import ARCHITECTURES, HOT, missing, parse, spills


def printed(kernel: str, *, stack: int = 0, stores: int = 0, loads: int = 0) -> str:
    """What ptxas of CUDA 13 says of a kernel, demangled."""
    return (
        f"ptxas info    : Compiling entry function '_ZN1x' for 'sm_80'\n"
        f"ptxas info    : Function properties for {kernel}\n"
        f"    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads\n"
        f"ptxas info    : Used 58 registers, used 1 barriers, 12288 bytes smem, 672 bytes cmem[0]\n"
    )


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("void recon4d::gpu::forward_kernel<float, 3>(recon4d::gpu::Scene<float>, int)", "forward_kernel<float, 3>"),
        ("recon4d::gpu::tile_begin_kernel(recon4d::gpu::Binning, long)", "tile_begin_kernel"),
        ("void recon4d::gpu::(anonymous namespace)::adam_kernel<float>(long)", "adam_kernel<float>"),
    ],
)
@pytest.mark.parametrize("spilled", [{}, {"stack": 8}, {"stores": 4, "loads": 4}])
def test_a_spill_in_a_hot_kernel_is_noticed(kernel: str, name: str, spilled: dict[str, int]):
    usage = parse(printed(kernel, **spilled))
    assert usage == {name: {"registers": 58, "stack": 0, "stores": 0, "loads": 0} | spilled}
    assert spills(name, usage[name]) == bool(spilled)


def test_what_is_not_hot_or_not_ours_may_spill():
    usage = parse(
        printed("void recon4d::gpu::gradients_kernel<double>(int)", stack=16)
        + printed("void cub::DeviceScanKernel<int>(int)", stack=16)
    )
    assert list(usage) == ["gradients_kernel<double>"]
    assert not spills("gradients_kernel<double>", usage["gradients_kernel<double>"])


def test_a_kernel_that_was_not_seen_is_noticed():
    usage = parse("".join(printed(f"void recon4d::gpu::{hot}(int)") for hot in HOT))
    assert missing(usage) == []
    del usage["tile_begin_kernel"]
    assert missing(usage) == ["tile_begin_kernel"]


def test_every_kernel_in_single_precision_is_hot_and_every_architecture_is_checked(repository: Path):
    sources = [path.read_text() for path in (repository / "cuda/gpu").glob("*.cu*")]
    kernels = set(re.findall(r"__global__ void (?:__launch_bounds__\(\w+\) )?(\w+)\(", "".join(sources)))
    assert len(kernels) == 12
    # One thread that copies one number.
    assert {hot.split("<")[0] for hot in HOT} == kernels - {"total_kernel"}
    built = re.search(r"set\(CMAKE_CUDA_ARCHITECTURES (.+)\)", (repository / "cuda/gpu/build.cmake").read_text())
    assert built is not None
    assert tuple(int(number) for number in re.findall(r"\d+", built[1])) == ARCHITECTURES
