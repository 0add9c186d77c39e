"""Saving survives kills, full disks and rival savers: the old scene or the new one, never half, never nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recon4d.core import InputError
from recon4d.scene import folder as folder_module
from recon4d.scene import load, save
from tests.scene.scenes import document_of, files_in, make_scene, values

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="fork, kill and resource limits")

# Runs in a process of its own, because it forks: torch is imported once, and every child is a fresh saver.
KILLED_SAVERS = """
import json, os, random, shutil, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from recon4d.core import SceneFormatError
from recon4d.scene import load, save
from tests.scene.scenes import make_scene, values

base, mode, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
path = base / "a.r4d"
scenes = [make_scene("linear", seed=1, points=400), make_scene("rigid", seed=2, points=300)]
known = [values(scene) for scene in scenes]
seen = {"old": 0, "new": 0, "none": 0, "killed": 0}
rng = random.Random(seed)


def fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    return child


def found():
    if not path.exists():
        return "none"
    return ("old", "new")[known.index(values(load(path)))]


def kill_at_line(moment):
    # SIGKILL before the given line that the saver runs in the files that touch the disk.
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if Path(frame.f_code.co_filename).name not in ("save.py", "folder.py"):
            return None
        if event == "line":
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def work():
        sys.settrace(trace)
        save(scenes[1], path)
    return work


def save_forever():
    while True:
        for scene in scenes:
            save(scene, path)


if mode == "new":
    rounds = [kill_at_line(moment) for moment in range(1, 600, 5)]
elif mode == "replace":
    rounds = [kill_at_line(moment) for moment in range(1, 600, 2)]
else:
    rounds = [save_forever] * 25
if mode != "new":
    save(scenes[0], path)
for work in rounds:
    # What the last killed saver left beside the scene is old enough to be cleared away.
    for left in base.iterdir():
        os.utime(left, (1, 1))
    child = fork(work)
    if mode == "random":
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the saver failed"
    else:
        seen["killed"] += 1
    state = found()
    seen[state] += 1
    assert mode == "new" or state != "none", "nothing left"
    if mode != "random" and os.WIFEXITED(status):
        seen["rounds"] = rounds.index(work)
        break
    if mode == "replace" and state == "new":
        save(scenes[0], path)
    if mode == "new" and state == "new":
        shutil.rmtree(path)
# A last save finds whatever the killed ones left, and clears it away.
for left in base.iterdir():
    os.utime(left, (1, 1))
if mode == "new":
    shutil.rmtree(path)
save(scenes[0], path)
assert found() == "old"
print(json.dumps(seen | {"files": os.listdir(path), "siblings": os.listdir(base)}))
"""


def run_script(code, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@posix
@pytest.mark.parametrize("mode", ["new", "replace", "random"])
def test_killed_savers_leave_a_whole_scene(tmp_path, mode):
    seen = run_script(KILLED_SAVERS, tmp_path, mode, 1)
    assert seen["killed"] >= 20
    if mode == "new":
        assert seen["none"] >= 20
        assert seen["old"] == 0
    else:
        assert seen["none"] == 0
    assert seen["new"] >= 1
    assert len(seen["files"]) == 4
    assert "scene.json" in seen["files"]
    assert seen["siblings"] == ["a.r4d"]


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from recon4d.core import InputError
from recon4d.scene import save
from tests.scene.scenes import make_scene

path, errors = Path(sys.argv[1]), []
big = make_scene("rigid", seed=5, points=2000)
for limit in (1, 700, 5000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for place in (path, path.with_name("fresh.r4d")):
        try:
            save(big, place)
        except InputError as error:
            errors.append(str(error))
print(json.dumps(errors))
"""


@posix
def test_a_full_disk_leaves_the_old_scene_and_nothing_else(tmp_path):
    path = tmp_path / "a.r4d"
    save(make_scene(), path)
    (path / "edits.json").write_text("{}")
    before = files_in(path)
    errors = run_script(FULL_DISK, path)
    assert len(errors) == 8
    assert all("File too large" in error for error in errors)
    assert files_in(path) == before
    assert os.listdir(tmp_path) == ["a.r4d"]
    assert values(load(path)) == values(make_scene())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("when", range(5))
def test_any_failing_call_leaves_the_old_scene_or_the_new(tmp_path, monkeypatch, failing, when):
    path = tmp_path / "a.r4d"
    save(make_scene(), path)
    new, calls, real = make_scene("rigid", seed=9), [], getattr(os, failing)

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) > when:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    before = files_in(path)
    monkeypatch.setattr(folder_module.os, failing, fail)
    try:
        save(new, path)
        failed = False
    except InputError:
        failed = True
    monkeypatch.undo()
    if failed and len(calls) == when + 1:
        found = values(load(path))
        assert found in (values(make_scene()), values(new))
        if found == values(make_scene()):
            assert files_in(path) == before
    else:
        assert values(load(path)) == values(new)
    assert not [name for name in os.listdir(path) if name.endswith(".tmp")]


def test_an_interrupt_right_after_the_commit_keeps_the_new_scene(tmp_path, monkeypatch):
    path, real = tmp_path / "a.r4d", os.replace
    save(make_scene(), path)

    def interrupted(source, target):
        real(source, target)
        if Path(target).name == "scene.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(folder_module.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(make_scene("rigid", seed=9), path)
    monkeypatch.undo()
    assert values(load(path)) == values(make_scene("rigid", seed=9))


@posix
def test_files_are_on_the_disk_before_the_document_that_names_them(tmp_path, monkeypatch):
    path, events = tmp_path / "a.r4d", []
    save(make_scene(), path)
    real_fsync, real_replace, real_unlink = os.fsync, os.replace, os.unlink

    def fsync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(source, target):
        events.append("scene.json" if Path(target).name == "scene.json" else "arrays")
        real_replace(source, target)

    def unlink(target, **options):
        events.append("swept")
        real_unlink(target, **options)

    for name, function in (("fsync", fsync), ("replace", replace), ("unlink", unlink)):
        monkeypatch.setattr(folder_module.os, name, function)
    save(make_scene("rigid", seed=9), path)
    arrays = ["file", "arrays"] * 3
    assert events == [*arrays, "folder", "file", "scene.json", "folder", *["swept"] * 3]


def test_places_that_cannot_be_written(tmp_path):
    scene = make_scene()
    with pytest.raises(InputError, match=r"scene folder .*missing/a.r4d: .* got No such file or directory"):
        save(scene, tmp_path / "missing" / "a.r4d")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"scene folder .*file/a.r4d: .* got Not a directory"):
        save(scene, tmp_path / "file" / "a.r4d")
    (tmp_path / "b.r4d").write_text("")
    with pytest.raises(InputError, match=r"b.r4d: expected a folder whose name ends in .r4d, got a file"):
        save(scene, tmp_path / "b.r4d")
    with pytest.raises(InputError, match=r"expected a folder whose name ends in .r4d, got the name 'scene'"):
        save(scene, tmp_path / "scene")
    assert sorted(os.listdir(tmp_path)) == ["b.r4d", "file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_folder_without_permission():
    with pytest.raises(InputError, match=r"scene folder /proc/self/a.r4d: expected a folder that can be written"):
        save(make_scene(), "/proc/self/a.r4d")


@posix
def test_a_folder_that_is_read_only_to_this_user(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    save(make_scene(), tmp_path / "a.r4d")
    (tmp_path / "a.r4d").chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        save(make_scene(seed=2), tmp_path / "a.r4d")
    (tmp_path / "a.r4d").chmod(0o700)
    assert values(load(tmp_path / "a.r4d")) == values(make_scene())


def test_rival_savers_and_readers(tmp_path):
    path, scenes = tmp_path / "a.r4d", [make_scene("linear", seed=s) for s in range(3)]
    known, failures = [values(scene) for scene in scenes], []

    def saver(scene):
        for _ in range(12):
            save(scene, path)

    def reader():
        for _ in range(12):
            if values(load(path)) not in known:
                failures.append("half a scene")

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            failures.append(repr(error))

    save(scenes[0], path)
    threads = [threading.Thread(target=guarded, args=(saver, scene)) for scene in scenes]
    threads += [threading.Thread(target=guarded, args=(reader,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(document_of(path)["layers"]) == 2
    assert len(files_in(path)) == 4


def test_rivals_that_make_the_same_new_folder(tmp_path):
    path, scenes, failures = tmp_path / "a.r4d", [make_scene(seed=s) for s in range(4)], []
    barrier = threading.Barrier(4)

    def saver(scene):
        barrier.wait()
        try:
            save(scene, path)
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=saver, args=(scene,)) for scene in scenes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert values(load(path)) in [values(scene) for scene in scenes]
    assert os.listdir(tmp_path) == ["a.r4d"]
