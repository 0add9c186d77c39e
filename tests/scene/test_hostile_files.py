"""Damaged and hostile folders: a SceneFormatError that names file and field, or a good scene, and nothing else."""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import sys
import tracemalloc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from recon4d.core import SceneFormatError
from recon4d.scene import content_hash, load, save
from recon4d.scene.checks import check_scene
from recon4d.scene.document import MAX_DOCUMENT_BYTES
from tests.scene.scenes import document_of, files_in, make_scene, rewrite_arrays, values, write_document

FUZZ = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path):
    save(make_scene(), tmp_path / "a.r4d")
    return tmp_path / "a.r4d"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A scene that tests only read or copy: its folder, its files, its values."""
    path, scene = tmp_path_factory.mktemp("scene") / "a.r4d", make_scene("residual linear", refined=True)
    save(scene, path)
    return path, files_in(path), values(scene)


@pytest.fixture
def rich(tmp_path):
    """The folder of a scene with all that the format has: refined surfels and a residual over bones."""
    save(make_scene("residual linear", refined=True), tmp_path / "rich.r4d")
    return tmp_path / "rich.r4d"


def warp_file(folder):
    return document_of(folder)["layers"][0]["warp"]["arrays"]["file"]


def refused(folder, pattern):
    with pytest.raises(SceneFormatError, match=pattern) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def attempt(read, folder):
    """What a reader makes of the folder, or None, and the text of its SceneFormatError, or None."""
    try:
        return read(folder), None
    except SceneFormatError as error:
        return None, str(error)


def set_in(document, path, value):
    *way, last = path
    for key in way:
        document = document[key]
    document[last] = value


def edited(folder, *path_and_value):
    *path, value = path_and_value
    document = document_of(folder)
    set_in(document, path, value)
    write_document(folder, document)


# ------------------------------------------------------------------------------------------------ damage by accident


def test_every_truncation_of_every_file_is_refused(saved, tmp_path):
    _, files, _ = saved
    folder = tmp_path / "a.r4d"
    folder.mkdir()
    for name, whole in files.items():
        for other, data in files.items():
            (folder / other).write_bytes(data)
        # The last byte of scene.json is a line end, without which it is the same JSON.
        last = len(whole) - 1 - (name == "scene.json")
        for length in sorted({*range(0, last, 37), *range(12), last}):
            (folder / name).write_bytes(whole[:length])
            with pytest.raises(SceneFormatError, match=name):
                load(folder)
        (folder / name).write_bytes(whole + b"\0")
        with pytest.raises(SceneFormatError, match=name):
            load(folder)


def test_truncations_that_the_document_agrees_with_are_refused(folder):
    name = warp_file(folder)
    whole = (folder / name).read_bytes()
    for length in sorted({*range(0, len(whole), 37), *range(12), len(whole) - 1}):
        rewrite_arrays(folder, name, whole[:length])
        _, error = attempt(load, folder)
        # The least size of a file is checked in the document.
        assert error.startswith(str(folder / (name if length >= 8 else "scene.json")))


def test_every_missing_file_is_refused(saved, tmp_path):
    path, files, _ = saved
    for name in files:
        folder = tmp_path / f"without-{name}"
        shutil.copytree(path, folder)
        (folder / name).unlink()
        refused(folder, f"{name}: expected a regular file that can be read, got nothing there")


@given(data=st.data())
@FUZZ
def test_every_flipped_bit_is_noticed(saved, tmp_path, data):
    _, files, _ = saved
    folder = tmp_path / "a.r4d"
    folder.mkdir(exist_ok=True)
    name = data.draw(st.sampled_from(sorted(files)))
    damaged = bytearray(files[name])
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    for other, whole in files.items():
        (folder / other).write_bytes(bytes(damaged) if other == name else whole)
    scene, error = attempt(load, folder)
    # Only text may change unnoticed: a digit of a number, a letter of a name, a blank.
    if scene is not None:
        assert name == "scene.json"
        check_scene(scene)
    else:
        assert error.startswith(str(folder))


@pytest.mark.parametrize("what", ["no folder", "a file", "an empty folder"])
def test_what_is_no_scene(tmp_path, what):
    path = tmp_path / "a.r4d"
    if what == "a file":
        path.write_text("")
    elif what == "an empty folder":
        path.mkdir()
    refused(path, "scene.json: expected a regular file" if what == "an empty folder" else "the folder of a scene")


# ------------------------------------------------------------------------------------------------- the document

WRONG = {
    "other format": (("format",), "gltf", r"scene.json: format: expected 'recon4d-scene', got 'gltf'"),
    "version 0": (("format_version",), 0, "format_version: expected a whole number from 1"),
    "version true": (("format_version",), True, "format_version: expected a whole number"),
    "version 1.0": (("format_version",), 1.0, "format_version: expected a whole number"),
    "units": (("units",), None, "units: expected an object, got None"),
    "unit 0": (("units", "metres_per_unit"), 0, "units.metres_per_unit: expected a number > 0"),
    "unit huge": (("units", "metres_per_unit"), 10**400, "units.metres_per_unit: expected a finite number, got a huge"),
    "unknown key": (("units", "feet"), 1, "units: expected the keys metres_per_unit, got an unknown key 'feet'"),
    "no times": (("times",), [], r"times: expected float64 \[F\], F >= 1"),
    "times equal": (("times",), [0, 1, 1], "times: expected strictly increasing"),
    "times text": (("times", 1), "0.5", r"times\[1\]: expected a number"),
    "one camera less": (("times",), [0, 1, 2, 3], "cameras: expected 4, one per frame, got 3"),
    "width 0": (("cameras", 1, "width"), 0, r"cameras\[1\].width: expected a whole number from 1 to 65535, got 0"),
    "width huge": (("cameras", 1, "width"), 10**30, r"cameras\[1\].width"),
    "focal 0": (("cameras", 2, "fx"), 0, r"cameras\[2\].K: expected .*fx and fy > 0"),
    "focal beyond float32": (("cameras", 2, "fx"), 1e300, r"cameras\[2\].K: expected finite numbers"),
    "camera type": (("cameras", 0, "dtype"), "float16", r"cameras\[0\].dtype: expected 'float32' or 'float64'"),
    "camera scaled": (("cameras", 0, "cam_from_world", 0), [2, 0, 0, 0], r"cameras\[0\].cam_from_world: .* rigid"),
    "camera huge": (("cameras", 0, "cam_from_world", 0), [1e30, 0, 0, 0], r"cameras\[0\].cam_from_world: .* rigid"),
    "camera row": (("cameras", 0, "cam_from_world", 3), [0, 0, 0, 2], r"cameras\[0\].cam_from_world: .* rigid"),
    "camera short": (("cameras", 0, "cam_from_world", 3), [0, 0, 1], r"cam_from_world\[3\]: expected a list of 4"),
    "layer kind": (("layers", 0, "kind"), "sky", r"layers\[0\].kind: expected 'object' or 'background', got 'sky'"),
    "layer kind list": (("layers", 0, "kind"), [], r"layers\[0\].kind: expected 'object' or 'background'"),
    "layer twice": (("layers", 1, "name"), "subject", r"layers\[1\].name: expected names that differ"),
    "layer unnamed": (("layers", 1, "name"), "", r"layers\[1\].name: expected 1 to 128 printable"),
    "layer control": (("layers", 1, "name"), "a\x1b[2J", r"layers\[1\].name: expected 1 to 128 printable"),
    "layer surrogate": (("layers", 1, "name"), "\ud800", r"layers\[1\].name: expected 1 to 128 printable"),
    "layer long": (("layers", 1, "name"), "x" * 10**6, r"layers\[1\].name: expected 1 to 128 printable"),
    "too many layers": (("layers",), [{}] * 1025, "layers: expected a list of at most 1024, got a list of 1025"),
    "count": (("layers", 0, "count"), 7, r"surfels-.*: ids: expected torch.int64 \[7\], got torch.int64 \[6\]"),
    "count huge": (("layers", 0, "count"), 2**62, r"layers\[0\].count: expected a whole number from 0"),
    "count negative": (("layers", 0, "count"), -1, r"layers\[0\].count: expected a whole number from 0"),
    "warp kind": (("layers", 0, "warp", "kind"), "fold", r"layers\[0\].warp.kind: expected 'identity' or 'rigid'"),
    "warp keys": (("layers", 0, "warp", "kind"), "rigid", r"layers\[0\].warp: expected the keys kind, path, arrays"),
    "warp blend": (("layers", 0, "warp", "blend"), "cubic", r"layers\[0\].warp.blend: expected 'linear' or"),
    "warp step 0": (("layers", 0, "warp", "path", "step"), 0, r"warp-.*, for layers\[0\]: SE3Spline times: .*step > 0"),
    "warp root": (("layers", 0, "warp", "root"), None, "root_rotations_wxyz: expected only arrays that the format"),
    "hash": (("layers", 0, "arrays", "sha256"), "0" * 64, "surfels-.*: expected the hash 0000"),
    "size": (("layers", 0, "arrays", "bytes"), 9, "surfels-.*: expected 9 bytes, got"),
    "size 2^60": (("layers", 0, "arrays", "bytes"), 2**60, r"arrays.bytes: expected a whole number from 8"),
    "size 2^47": (("layers", 0, "arrays", "bytes"), 2**47, "surfels-.*: expected 140737488355328 bytes, got"),
    "provenance": (("provenance",), [], "provenance: expected an object, got a list of 0"),
    "provenance huge": (("provenance", "n"), 2**300, "provenance.n: expected at most 256 bits"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_documents(folder, case):
    path, value, pattern = WRONG[case]
    edited(folder, *path, value)
    refused(folder, pattern)


RESIDUAL = {
    "keys": (("layers", 0, "warp", "kind"), "bones", "warp: expected the keys kind, blend, root, path, arrays"),
    "no base": (("layers", 0, "warp", "base"), None, r"layers\[0\].warp.base: expected an object, got None"),
    "base kind": (("layers", 0, "warp", "base", "kind"), "fold", "warp.base.kind: expected 'identity' or 'rigid' or"),
    "residual of residuals": (
        ("layers", 0, "warp", "base"),
        {"kind": "residual", "start": 0, "step": 1, "base": {"kind": "identity"}, "arrays": {}},
        r"layers\[0\].warp.base.kind: expected 'identity' or 'rigid' or 'bones', got 'residual'",
    ),
    "step 0": (("layers", 0, "warp", "step"), 0, r"warp-.*, for layers\[0\]: ResidualWarp times: .*step > 0"),
    "start": (("layers", 0, "warp", "start"), None, r"layers\[0\].warp.start: expected a number, got None"),
    "base step 0": (("layers", 0, "warp", "base", "path", "step"), 0, r"warp-.*, for layers\[0\]: SE3Spline times"),
    "base hash": (("layers", 0, "warp", "base", "arrays", "sha256"), "0" * 64, "warp-.*: expected the hash 0000"),
    "base elsewhere": (("layers", 0, "warp", "base", "arrays", "file"), "../x", "arrays.file: expected a plain file"),
}


@pytest.mark.parametrize("case", RESIDUAL)
def test_wrong_residuals_in_documents(rich, case):
    path, value, pattern = RESIDUAL[case]
    edited(rich, *path, value)
    refused(rich, pattern)
    # Hashing looks at names and files, not at what is in them.
    error = attempt(content_hash, rich)[1]
    assert error == (None if "step" in case or case == "start" else attempt(load, rich)[1])


def test_a_residual_and_its_base_may_not_exchange_files(rich):
    warp = document_of(rich)["layers"][0]["warp"]
    for keep, other in (("warp", warp["base"]), ("base", warp)):
        way = ("layers", 0, "warp", "arrays") if keep == "warp" else ("layers", 0, "warp", "base", "arrays")
        before = (rich / "scene.json").read_bytes()
        edited(rich, *way, other["arrays"])
        refused(rich, f"{other['arrays']['file']}: (grid|rest_translations): expected .* no such array")
        (rich / "scene.json").write_bytes(before)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda a: a.pop("refined_scales"), "refined_scales: expected .* no such array"),
        (lambda a: a.pop("refined_rotations_wxyz"), "refined_rotations_wxyz: expected .* no such array"),
        (lambda a: a["refined_scales"].neg_(), "refined_scales: expected numbers >= 0"),
        (lambda a: a["refined_scales"].fill_(torch.nan), "refined_scales: expected finite numbers, got 12 NaN"),
        (lambda a: a["refined_rotations_wxyz"][3].zero_(), "refined_rotations_wxyz: expected quaternions that are not"),
        (lambda a: a.update(refined_scales=a["scales"].double()), "refined_scales: expected the type of the centers"),
        (lambda a: a.update(refined_scales=a["scales"][:5].clone()), r"refined_scales: expected .*\[6, 2\]"),
    ],
)
def test_wrong_refined_arrays(rich, change, pattern):
    entry = document_of(rich)["layers"][0]["arrays"]["file"]
    arrays = load_file(rich / entry)
    change(arrays)
    rewrite_arrays(rich, entry, to_bytes(arrays))
    refused(rich, f"{entry}: {pattern}")


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda a: a["grid"][0, 1, 2, 3].fill_(torch.inf), "warp.grid: expected finite numbers, got 3 NaN or infinite"),
        (lambda a: a.update(low=a["high"].clone()), "warp.high: expected more than `low` along each axis"),
        (lambda a: a.update(grid=a["grid"][:3].contiguous()), "ResidualWarp.grid: expected shape .*K >= 4"),
        (lambda a: a.update(grid=a["grid"][:, :1].contiguous()), "ResidualWarp.grid: .*at least 2 nodes"),
        (lambda a: a.update(grid=a["grid"].double()), "Field.warp: expected tensors of torch.float32"),
        (lambda a: a.update(grid=a["grid"].flatten(1)), "grid: expected .* got torch.float32"),
        (lambda a: a.update(mid=a["low"].clone()), "mid: expected only arrays that the format names"),
    ],
)
def test_wrong_residual_arrays(rich, change, pattern):
    entry = warp_file(rich)
    arrays = load_file(rich / entry)
    change(arrays)
    rewrite_arrays(rich, entry, to_bytes(arrays))
    refused(rich, f"{entry}.*{pattern}")


NO_JSON = {
    "empty": (b"", "JSON"),
    "binary": (b"\xff\xfe{}", "UTF-8 text, got a wrong byte at 0"),
    "list": (b"[]", "document: expected an object"),
    "NaN": (b'{"times": [NaN]}', "the number NaN"),
    "Infinity": (b'{"times": [-Infinity]}', "the number -Infinity"),
    "twice": (b'{"format": "recon4d-scene", "format": 1}', "a key that stands twice"),
    "deep": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "values nested too deeply"),
    "digits": (b'{"a":' + b"9" * 100_000 + b"}", "document: expected JSON"),
    "other": (b'{"asset": {"version": "2.0"}}', "expected a scene document with 'format', got no 'format'"),
    "big": (b" " * (MAX_DOCUMENT_BYTES + 1), f"expected at most {MAX_DOCUMENT_BYTES} bytes"),
}


@pytest.mark.parametrize("case", NO_JSON)
def test_no_json(folder, case):
    data, pattern = NO_JSON[case]
    (folder / "scene.json").write_bytes(data)
    refused(folder, "scene.json: .*" + pattern)


def test_infinity_by_a_large_exponent(folder):
    text = (folder / "scene.json").read_text().replace('"metres_per_unit": 0.25', '"metres_per_unit": 1e999')
    (folder / "scene.json").write_text(text)
    refused(folder, "units.metres_per_unit: expected a finite number, got inf")


def paths_in(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_in(item, (*path, key))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything = st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3))


@given(data=st.data())
@FUZZ
def test_fuzzed_documents(saved, tmp_path, data):
    path, _, _ = saved
    if not (tmp_path / "a.r4d").exists():
        shutil.copytree(path, tmp_path / "a.r4d")
    document = document_of(path)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([p for p in paths_in(document) if p]))
        owner = document
        for key in way:
            owner = owner[key]
        action = data.draw(st.sampled_from(["replace", "delete", "double", "nest"]))
        if action == "replace":
            owner[last] = data.draw(anything)
        elif action == "delete":
            del owner[last]
        elif action == "double" and isinstance(owner, list):
            owner.insert(last, copy.deepcopy(owner[last]))
        elif action == "nest":
            owner[last] = data.draw(st.sampled_from([[owner[last]], {"": owner[last]}]))
    write_document(tmp_path / "a.r4d", document)
    for read in (load, content_hash):
        result, error = attempt(read, tmp_path / "a.r4d")
        if error is not None:
            assert error.startswith(str(tmp_path))
            assert len(error) < 2000
        elif read is load:
            check_scene(result)


# ---------------------------------------------------------------------------------------------------- names of files


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "/tmp/x.safetensors",
        "sub/x.safetensors",
        "sub\\x.safetensors",
        "C:x.safetensors",
        ".hidden.safetensors",
        "..",
        "",
        "x.safetensors\n",
        "x.safetensors\0",
        "scene.json",
        "x" * 200 + ".safetensors",
    ],
)
def test_names_that_lead_elsewhere(folder, name):
    shutil.copy(folder / warp_file(folder), folder.parent / "secret.safetensors")
    edited(folder, "layers", 0, "warp", "arrays", "file", name)
    refused(folder, r"layers\[0\].warp.arrays.file: expected a plain file name")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@pytest.mark.parametrize("kind", ["link out", "link in", "dangling", "pipe", "folder", "device"])
@pytest.mark.parametrize("which", ["arrays", "scene.json"])
def test_files_that_are_no_files(folder, kind, which):
    name = which if which == "scene.json" else warp_file(folder)
    target = folder / "copy" if kind == "link in" else folder.parent / "copy"
    (folder / name).rename(target)
    if kind in ("link out", "link in"):
        (folder / name).symlink_to(target)
    elif kind == "dangling":
        (folder / name).symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    refused(folder, f"{name}: expected a regular file that can be read")


# ---------------------------------------------------------------------------------------------------- array headers


def with_header(data, change):
    """The file with another header: `change` gets the parsed header and returns it, or raw bytes."""
    length = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + length]))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def put(name, key, value):
    return lambda header: header | {name: header[name] | {key: value}}


HEADERS = {
    "2^60 elements": (put("centers", "shape", [2**60, 3]), r"centers.shape\[0\]: expected a whole number from 0"),
    "2^60 elements that fit nowhere": (
        lambda h: h | {"centers": {"dtype": "F32", "shape": [2**52], "data_offsets": [0, 2**54]}},
        "header: expected",
    ),
    "overflow": (put("centers", "shape", [2**32, 2**32]), "centers.shape: expected"),
    "overflow behind 0": (put("centers", "shape", [0, 2**40, 2**40]), "centers.shape: expected"),
    "shape and bytes": (put("centers", "shape", [7, 3]), "centers.data_offsets: expected 84 bytes"),
    "negative": (put("centers", "shape", [-6, -3]), r"centers.shape\[0\]: expected a whole number"),
    "shape true": (put("opacities", "shape", [True]), r"opacities.shape\[0\]: expected a whole number"),
    "many axes": (put("centers", "shape", [1] * 9), "centers.shape: expected a list of at most 8"),
    "other type": (put("centers", "dtype", "I32"), "centers.dtype: expected 'F64' or 'I64' or 'F32', got 'I32'"),
    "backwards": (put("centers", "data_offsets", [100, 28]), "centers.data_offsets: expected 72 bytes"),
    "overlap": (lambda h: h | {"rotations_wxyz": h["rotations_wxyz"] | {"data_offsets": [0, 96]}}, "header: expected"),
    "gap": (lambda h: {k: v for k, v in h.items() if k != "opacities"}, "header: expected"),
    "past the end": (put("sh", "data_offsets", [10_000, 10_288]), "header: expected .*to begin at byte"),
    "unknown array": (lambda h: {("sch" if k == "sh" else k): v for k, v in h.items()}, "sch: expected only arrays"),
    "lost array": (lambda h: {("radii" if k == "scales" else k): v for k, v in h.items()}, "scales: .*no such array"),
    "reshaped": (put("centers", "shape", [3, 6]), r"centers: expected .*\[6, 3\], got torch.float32 \[3, 6\]"),
    "metadata": (lambda h: h | {"__metadata__": {"a": 1}}, "__metadata__.a: expected a text"),
    "extra key": (put("centers", "note", "hello"), "centers: expected the keys dtype, shape, data_offsets"),
    "no JSON": (lambda h: b"{", "document: expected JSON"),
    "empty": (lambda h: b"", "document: expected JSON"),
    "list": (lambda h: [], "document: expected an object"),
    "no arrays": (lambda h: {}, "header: expected 0 bytes of data"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_hostile_headers(folder, case):
    change, pattern = HEADERS[case]
    name = document_of(folder)["layers"][0]["arrays"]["file"]
    rewrite_arrays(folder, name, with_header((folder / name).read_bytes(), change))
    attempt(load, folder)  # whatever is made once and kept
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    refused(folder, f"{name}: {pattern}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 2**20 + 1, 10_000])
def test_header_lengths_past_the_file(folder, length):
    name = warp_file(folder)
    data = (folder / name).read_bytes()
    rewrite_arrays(folder, name, length.to_bytes(8, "little") + data[8:])
    refused(folder, f"{name}: header: expected a header within the file")


@given(data=st.data())
@FUZZ
def test_fuzzed_headers(saved, tmp_path, data):
    path, files, expected = saved
    folder = tmp_path / "a.r4d"
    if not folder.exists():
        shutil.copytree(path, folder)
    (folder / "scene.json").write_bytes(files["scene.json"])
    name = data.draw(st.sampled_from(sorted(n for n in files if n != "scene.json")))
    hostile = bytearray(files[name])
    end = 8 + int.from_bytes(hostile[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, end - 1))
        byte = data.draw(st.integers(0, 255) | st.sampled_from(list(b'0123456789[]{},:"FI64e-. ')))
        action = data.draw(st.sampled_from(["set", "insert", "delete"]))
        if action == "set":
            hostile[at] = byte
        elif action == "insert":
            hostile.insert(at, byte)
        else:
            del hostile[at]
    rewrite_arrays(folder, name, bytes(hostile))
    scene, error = attempt(load, folder)
    if error is not None:
        assert error.startswith(str(folder / name))
    else:
        check_scene(scene)
        assert [layer.name for layer in scene.layers] == [layer[0] for layer in expected[2]]
    (folder / name).write_bytes(files[name])


@given(data=st.data())
@FUZZ
def test_fuzzed_values(saved, tmp_path, data):
    """Any bytes at all as array data: refused, or values that pass every check."""
    path, files, _ = saved
    folder = tmp_path / "a.r4d"
    if not folder.exists():
        shutil.copytree(path, folder)
    (folder / "scene.json").write_bytes(files["scene.json"])
    name = data.draw(st.sampled_from(sorted(n for n in files if n != "scene.json")))
    hostile = bytearray(files[name])
    start = 8 + int.from_bytes(hostile[:8], "little")
    at = data.draw(st.integers(start, len(hostile) - 8))
    hostile[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
    rewrite_arrays(folder, name, bytes(hostile))
    scene, error = attempt(load, folder)
    if error is not None:
        assert error.startswith(str(folder / name))
    else:
        check_scene(scene)
        scene.at(0.3)
    (folder / name).write_bytes(files[name])


def test_arrays_that_are_not_aligned(folder):
    name = warp_file(folder)
    for blanks in range(1, 8):
        data = with_header((folder / name).read_bytes(), lambda h, n=blanks: json.dumps(h).encode() + b" " * n)
        rewrite_arrays(folder, name, data)
        assert values(load(folder)) == values(make_scene())
