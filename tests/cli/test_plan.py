from __future__ import annotations

import itertools
import json

import pytest

from tfpwl.bundle import Bundle
from tfpwl.evaluate import evaluate_mixes
from tfpwl.mix import all_mixes, path
from tfpwl.report import BuildReport, MixRecord


def accuracies(bundle, labelled):
    x, y = labelled
    return {mix: r.accuracy for mix, r in evaluate_mixes(bundle, bundle.manifest.input.preprocess(x), y).items()}


def test_json_plan_is_the_best_of_all_orders_by_its_own_figures(tfpwl, tiny_bundle, root, npz, labelled):
    found = json.loads(tfpwl("plan", root, "--data", npz, "--tolerance", 100, "--json").out)
    measured = accuracies(tiny_bundle, labelled)

    def shortfall(order):
        total = 0.0
        for before, after in itertools.pairwise(path(order)):
            new = {e.file: e.bytes for e in tiny_bundle.chain(after) if e not in tiny_bundle.chain(before)}
            total += (measured["TTT"] - measured[before]) * sum(new.values())
        return total

    best = min(shortfall(order) for order in itertools.permutations(range(3)))
    # Sums of three float64 products each.
    assert shortfall(tuple(found["planned"]["order"])) == pytest.approx(best, abs=1e-9)
    assert found["never_falls"]
    assert found["planned"]["exact"]
    assert [step["accuracy"] for step in found["planned"]["path"]] == [
        measured[mix] for mix in path(found["planned"]["order"])
    ]
    assert set(found["compared"]) == {"prefix", "suffix", "manifest"}
    assert found["compared"]["suffix"]["order"] == [2, 1, 0]


def test_write_puts_order_and_measured_path_into_the_manifest(tfpwl, tiny_bundle, root, npz, labelled):
    result = tfpwl("plan", root, "--data", npz, "--write", "--json")
    assert result.code == 0
    planned = json.loads(result.out)["planned"]
    manifest = Bundle.open(root).manifest
    measured = accuracies(tiny_bundle, labelled)
    assert list(manifest.order) == planned["order"]
    assert [(e.mix, e.accuracy) for e in manifest.path] == [(mix, measured[mix]) for mix in path(manifest.order)]


def test_without_write_nothing_changes(tfpwl, root, npz):
    before = (root / "manifest.json").read_bytes()
    assert tfpwl("plan", root, "--data", npz).code == 0
    assert (root / "manifest.json").read_bytes() == before


def write_metrics(folder, bundle, accuracy):
    records = tuple(MixRecord(mix, bundle.mix_bytes(mix), accuracy[mix]) for mix in accuracy)
    file = folder / "metrics.json"
    file.write_text(BuildReport(name="tiny", num_groups=3, order=(0, 1, 2), mixes=records).to_json())
    return file


def test_metrics_of_a_build_stand_in_for_data_and_budget_names_the_best_mix(tfpwl, tiny_bundle, root, tmp_path):
    accuracy = {mix: 0.5 + 0.1 * mix.count("T") for mix in all_mixes(3)}
    metrics = write_metrics(tmp_path, tiny_bundle, accuracy)
    budget = tiny_bundle.mix_bytes("TTT") - 1
    result = tfpwl("plan", root, "--metrics", metrics, "--budget", budget, "--json")
    assert result.code == 0
    best = json.loads(result.out)["budget"]["best"]
    fitting = [mix for mix in accuracy if tiny_bundle.mix_bytes(mix) <= budget]
    assert best["accuracy"] == max(accuracy[mix] for mix in fitting)
    assert best["bytes"] == tiny_bundle.mix_bytes(best["mix"]) <= budget


def test_says_when_every_order_falls(tfpwl, tiny_bundle, root, tmp_path):
    accuracy = {mix: 0.9 - 0.1 * mix.count("T") for mix in all_mixes(3)}
    result = tfpwl("plan", root, "--metrics", write_metrics(tmp_path, tiny_bundle, accuracy))
    assert result.code == 0
    assert "Every order falls by more than 0 points somewhere; this one falls least, by 10.00." in result.out


def test_table_compares_with_prefix_and_suffix_and_draws(tfpwl, root, npz, tmp_path):
    result = tfpwl("plan", root, "--data", npz, "--figure", tmp_path / "orders.png")
    assert result.code == 0
    rows = [line.split()[0] for line in result.out.splitlines() if line.strip()]
    assert [row for row in rows if row in ("planned", "prefix", "suffix", "manifest")] == [
        "planned", "prefix", "suffix", "manifest",
    ]  # fmt: skip
    assert (tmp_path / "orders.png").read_bytes().startswith(b"\x89PNG")


def test_cost_by_time_measures_every_file(tfpwl, root, npz):
    found = json.loads(tfpwl("plan", root, "--data", npz, "--cost", "time", "--json").out)
    assert found["cost"] == "ms"
    loaded = [step["loaded"] for step in found["planned"]["path"]]
    assert loaded == sorted(loaded)
    assert loaded[0] > 0


def test_budget_below_the_smallest_mix_exits_1(tfpwl, root, npz):
    result = tfpwl("plan", root, "--data", npz, "--budget", "10")
    assert result.code == 1
    assert "no mix fits 10 bytes; the smallest one takes" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either --data or --metrics"),
        (["--data", "digits", "--metrics", "m.json"], "Give either --data or --metrics"),
        (["--data", "digits", "--budget", "12 pies"], "expected bytes such as 900000, 900kB, 1.5MB or 2MiB"),
        (["--data", "nowhere"], "no such file or folder, and no data set of this name"),
        (["--metrics", "nowhere.json"], "No such file"),
    ],
)
def test_wrong_use_exits_2(tfpwl, root, arguments, message):
    result = tfpwl("plan", root, *arguments)
    assert result.code == 2
    assert message in result.err


def test_metrics_with_too_few_mixes_ask_for_data(tfpwl, tiny_bundle, root, tmp_path):
    accuracy = dict.fromkeys(path((0, 1, 2)), 0.5)
    result = tfpwl("plan", root, "--metrics", write_metrics(tmp_path, tiny_bundle, accuracy))
    assert result.code == 2
    assert "has no accuracy for 4 mixes" in result.err
    assert "Give --data to measure" in result.err
