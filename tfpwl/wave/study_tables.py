"""Tables of a study, in Markdown; pure functions of the plain data that :func:`tfpwl.wave.study.run_study` returns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any

Json = dict[str, Any]
_NAMES = {"wave": "WAVE", "random": "random", "select": "selection", "prune": "pruning"}


def to_markdown(results: Json) -> str:
    """All tables of a study: accuracy, epochs to catch up, counts, cost, and which targets were met."""
    parts = [_setting(results)]
    for family in results["families"]:
        parts += [
            f"## {family['family']}",
            f"Teacher: {_size(family['teacher'])}, {family['teacher']['parameters']:,} parameters, "
            f"{_percent(family['teacher']['accuracy'])} % after {family['teacher']['epochs']} epochs.",
            *([_RATES, rate_table(results, family)] if family["rates"] else []),
            accuracy_table(results, family),
            "Epochs that a random start needs to reach what WAVE has after the last of these lengths (first seed; each "
            "length is a training of its own):",
            long_table(results, family),
            "Parameters:",
            count_table(family),
            "Cost:",
            cost_table(results, family),
        ]
    parts += ["## Targets", target_table(results)]
    return "\n\n".join(parts) + "\n"


_RATES = (
    "Learning rates: each start takes, for each length, the one that is best on validation images, in the family's "
    "first size and with a seed that is not among those below (all that were tried):"
)


def rate_table(results: Json, family: Json) -> str:
    """The rate of every start and length, with the accuracies of all that were tried."""
    lengths = results["epochs"][1:]
    rows = [
        [_NAMES[start], *(_tried(family["rates"][start][str(epochs)]) for epochs in lengths)]
        for start in results["starts"]
    ]
    return _table(["start", *(f"{epochs} ep." for epochs in lengths)], rows)


def _tried(length: Json) -> str:
    tried = sorted((float(rate), value) for rate, value in length["tried"].items())
    return ", ".join(
        f"{'**' * (rate == length['rate'])}{rate:g}: {_percent(value)}{'**' * (rate == length['rate'])}"
        for rate, value in tried
    )


def _setting(results: Json) -> str:
    return (
        f"{results['data']}: teachers and templates from {results['teacher_images']:,} images, every size and its "
        f"scalers from the first {results['images']:,} of them, measured on "
        f"{results['test_images']:,} {results['split']} images. "
        f"{results['seeds']} seeds, mean ± standard deviation, per cent. An epoch is "
        f"{' or '.join(str(n) for n in sorted({_steps(results, i) for i in range(len(results['families']))}))} steps; "
        f"WAVE's scalers train for {results['scaler_steps']} steps before epoch 0. Every length of training has its "
        f"own learning-rate schedule. Keras {results['keras']} on {results['backend']}."
    )


def accuracy_table(results: Json, family: Json) -> str:
    """Accuracy by size, start and epochs."""
    header = ["size", "start", *(f"{epochs} ep." for epochs in results["epochs"])]
    rows = [
        [_size(size["size"]), _NAMES[start], *(_spread(_accuracies(size, start, e)) for e in results["epochs"])]
        for size in family["sizes"]
        for start in results["starts"]
    ]
    return _table(header, rows)


def long_table(results: Json, family: Json) -> str:
    """How long a random start trains to reach WAVE."""
    last = results["epochs"][-1]
    rows = []
    for size in family["sizes"]:
        long = size["long"]
        if long is None:
            continue
        tried = ", ".join(
            f"{epochs}: {_percent(value)}"
            for epochs, value in sorted((int(epochs), value) for epochs, value in long["accuracy"].items())
        )
        longest = max(int(epochs) for epochs in long["accuracy"])
        reached = long["reached_after"]
        answer = f"not after {longest}" if reached is None else str(reached)
        rows.append([_size(size["size"]), _percent(long["target"]), answer, tried])
    return _table(["size", f"WAVE after {last}", "epochs", "random after (epochs: %)"], rows)


def count_table(family: Json) -> str:
    """Numbers of parameters: of templates, and by size of scalers and of the whole model."""
    condense = family["condense"]
    shapes = ", ".join(f"{kind} {'×'.join(map(str, shape))}" for kind, shape in condense["templates"].items())
    rows = []
    for size in family["sizes"]:
        run = size["runs"]["wave"][0]
        scalers = sum(run["scalers"].values())
        rows.append(
            [_size(size["size"]), f"{scalers:,}", f"{run['parameters']:,}", f"{scalers / run['parameters']:.2f}"]
        )
    return f"{condense['template_parameters']:,} in templates ({shapes}).\n\n" + _table(
        ["size", "scalers", "whole model", "share"], rows
    )


def cost_table(results: Json, family: Json) -> str:
    """CPU seconds for all sizes: once by templates, once each from a random start."""
    last = results["epochs"][-1]
    condense = family["condense"]["seconds"]
    wave_starts = sum(median(_values(size, "wave", "start_seconds")) for size in family["sizes"])
    wave_epochs = last * sum(_epoch_seconds(size) for size in family["sizes"])
    rows = [
        ["condensing, once", f"{condense:.0f}"],
        [f"scalers of {len(family['sizes'])} sizes", f"{wave_starts:.0f}"],
        [f"{last} epochs of each size", f"{wave_epochs:.0f}"],
        [f"WAVE in all, {last} epochs", f"{condense + wave_starts + wave_epochs:.0f}"],
        ["WAVE in all, 1 epoch", f"{condense + wave_starts + wave_epochs / last:.0f}"],
    ]
    alone = [
        (size["long"]["reached_after"] or max(map(int, size["long"]["accuracy"]))) * _epoch_seconds(size)
        for size in family["sizes"]
        if size["long"] is not None
    ]
    if alone:
        floor = any(size["long"]["reached_after"] is None for size in family["sizes"] if size["long"] is not None)
        rows.append(
            ["each alone from random, until it reaches WAVE", f"{'more than ' if floor else ''}{sum(alone):.0f}"]
        )
    return _table(["", "CPU seconds"], rows)


def target_table(results: Json) -> str:
    """Per size: WAVE after 1 epoch against random after the last, and against selection after 1 and 3."""
    last, first = results["epochs"][-1], results["epochs"][1]
    budget = next((e for e in results["epochs"][2:] if e < last), last)
    rows, won = [], {"random": 0, "select": 0, "budget": 0}
    sizes = [(family["family"], size) for family in results["families"] for size in family["sizes"]]
    for family_name, size in sizes:
        ours = mean(_accuracies(size, "wave", first))
        row = [f"{family_name} {_size(size['size'])}", _percent(ours)]
        for key, start, epochs in (
            ("random", "random", last),
            ("select", "select", first),
            ("budget", "select", budget),
        ):
            if start not in size["runs"]:
                row.append("")
                continue
            theirs = mean(_accuracies(size, start, epochs))
            won[key] += ours > theirs
            row.append(f"{_percent(theirs)} {'✓' if ours > theirs else '✗'}")
        rows.append(row)
    total = len(sizes)
    rows.append(["**won**", "", *(f"{won[key]} of {total}" for key in ("random", "select", "budget"))])
    header = [
        "size",
        f"WAVE, {first} ep.",
        f"random, {last} ep.",
        f"selection, {first} ep.",
        f"selection, {budget} ep.",
    ]
    return _table(header, rows)


def _steps(results: Json, family: int) -> int:
    return results["images"] // min(results["batch_size"][family], results["images"])


def _accuracies(size: Json, start: str, epochs: int) -> list[float]:
    return [run["accuracy"][str(epochs)] for run in size["runs"][start]]


def _values(size: Json, start: str, key: str) -> list[float]:
    return [run[key] for run in size["runs"][start]]


def _epoch_seconds(size: Json) -> float:
    return median(value for start in size["runs"] for value in _values(size, start, "epoch_seconds"))


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{_percent(mean(values))}{deviation}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _size(params: Json) -> str:
    if "width" in params:
        return f"depth {params['depth']}, width {params['width']}"
    return f"widths {'-'.join(map(str, params['widths']))}, depths {'-'.join(map(str, params['depths']))}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
