"""Which files of bundles LiteRT's GPU accelerator runs, and how far its answers are from the CPU's.

    python benchmarks/gpu_files.py BUNDLE…

A table in Markdown on stdout. A Vulkan driver is chosen by ``VK_ICD_FILENAMES``.
"""

from __future__ import annotations

import sys

from tfpwl.bundle import Bundle
from tfpwl.errors import EngineError
from tfpwl.runtime.litert import GPU, load_library
from tfpwl.runtime.litert_engine import LiteRtGroup, answers_alike, compare_answers


def main(paths: list[str]) -> None:
    print("| bundle | files | not taken | answer as on the CPU | off by at most | answer otherwise | off by at most |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for path in paths:
        bundle = Bundle.open(path)
        found: dict[bool, list[float]] = {True: [], False: []}
        for entry in bundle.files():
            content = bundle.read(entry)
            on_cpu = LiteRtGroup(load_library(), content, 1)
            try:
                on_gpu = LiteRtGroup(load_library(), content, 1, accelerators=GPU)
            except EngineError:
                continue
            difference, span = compare_answers(on_gpu, on_cpu)
            found[answers_alike(on_gpu, difference, span)].append(difference / span if span else difference)
        manifest = bundle.manifest
        name = ", ".join(filter(None, (manifest.name, manifest.tier, manifest.precision)))
        not_taken = len(bundle.files()) - sum(map(len, found.values()))
        shown = [f"{len(ones)} | {max(ones):.2g}" if ones else "0 | –" for ones in (found[True], found[False])]
        print(f"| {name} | {len(bundle.files())} | {not_taken} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
