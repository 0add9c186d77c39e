"""Threads of the viewer end before the process does."""

from __future__ import annotations

import subprocess
import sys
import threading

from recon4d.viewer import threads

# A thread that would be inside torch at any moment, when the interpreter shuts down.
BUSY = """
import threading, torch
from recon4d.viewer import threads

stopped = threading.Event()

def work():
    while not stopped.is_set():
        (torch.rand(200, 200, requires_grad=True) @ torch.rand(200, 200)).sum().backward()
    print("ended well", flush=True)

threads.begin(work, stop=stopped.set)
"""


def test_a_process_waits_for_threads_that_work():
    ended = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended well\n", "")


def test_threads_are_asked_to_stop_and_those_that_do_not_are_told_of():
    gate, deaf = threading.Event(), threading.Event()
    try:
        obeying = threads.begin(gate.wait, stop=gate.set)
        other = threads.begin(deaf.wait, 60)
        assert not threads.end_all(0.2)
        assert not obeying.is_alive()
        assert other.is_alive()
    finally:
        deaf.set()
    assert threads.end_all(10)
    assert not other.is_alive()
