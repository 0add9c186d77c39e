"""Benchmark of handle deformation: python tests/bench/deform.py [--surfels 20000] [--vertices 5000] [--repeats 20].

Times one update while a handle is dragged: the proxy mesh alone, and with the surfels carried along.  Wall time is the
minimum over the repeats; processor time is printed beside it, because other work on the machine does not count in it.
"""

from __future__ import annotations

import argparse
import time

from recon4d.editors.shapes import Deformer, Handle
from recon4d.synthetic import creature_field


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surfels", type=int, default=20_000)
    parser.add_argument("--vertices", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    field = creature_field("quadruped", arguments.surfels)
    begin = time.perf_counter()
    deformer = Deformer(field, max_vertices=arguments.vertices)
    print(
        f"proxy of {len(deformer.mesh.vertices)} vertices for {len(field)} surfels: {time.perf_counter() - begin:.2f} s"
    )
    centers = field.canonical.centers
    nose, tail = (tuple(centers[row].tolist()) for row in (centers[:, 0].argmax(), centers[:, 0].argmin()))

    def handles(step: int) -> list[Handle]:
        lifted = Handle(nose, 0.15, translation=(0.0, 0.0, 0.01 * step))
        return [lifted, Handle(tail, 0.2), Handle((0.0, 0.0, 0.4), 0.3)]

    begin = time.perf_counter()
    deformer.deform(handles(1))
    print(f"first update, which factorises: {1e3 * (time.perf_counter() - begin):.0f} ms")
    for name, update in (("proxy alone", deformer.vertices), ("with surfels", deformer.deform)):
        walls, processors = [], []
        for step in range(2, arguments.repeats + 2):
            wall, processor = time.perf_counter(), time.process_time()
            update(handles(step))
            walls.append(time.perf_counter() - wall)
            processors.append(time.process_time() - processor)
        print(f"update, {name}: {1e3 * min(walls):.1f} ms wall, {1e3 * min(processors):.1f} ms processor")


if __name__ == "__main__":
    main()
