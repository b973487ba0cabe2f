import json
import shutil
from dataclasses import replace

import pytest

from tfpwl.data import Split, load_section
from tfpwl.errors import ConfigError
from tfpwl.wave.records import read_record, write_record
from tfpwl.wave.size_runs import SizeRuns
from tfpwl.wave.study import _Clock, run_study
from tfpwl.wave.study_config import load_study
from tfpwl.wave.study_tables import target_table, to_markdown

STUDY = """
name: tiny
data: {name: digits, limit: 100, augment: null}
subset: 64
test_limit: 50
seeds: 1
epochs: [1, 2]
long_epochs: [3]
scaler_steps: 2
families:
  - teacher: {family: resnet, widths: [8, 16], depths: [2, 1], train: {epochs: 1, optimizer: adamw}}
    condense: {epochs: 1}
    train: {batch_size: 32, optimizer: adamw, learning_rate: 0.004}
    learning_rates: [0.002, 0.016]
    sizes: [{widths: [4, 8], depths: [1, 1]}]
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path


@pytest.mark.slow
def test_a_study_that_lost_results_makes_them_again_and_only_them(study, tmp_path):
    config = load_study(study)
    seen = []
    first = run_study(config, tmp_path / "out", on_progress=lambda what, done, total, _: seen.append((done, total)))
    assert seen[-1] == (11, 11)  # teacher, templates, four rates, four curves, one long run
    (work,) = (tmp_path / "out").iterdir()
    (work / "0/size0/random-0.json").unlink()
    kept = (work / "0/size0/wave-0.json").stat().st_mtime_ns
    again = run_study(config, tmp_path / "out")
    for results in (first, again):
        for runs in results["families"][0]["sizes"][0]["runs"].values():
            for run in runs:
                del run["start_seconds"], run["epoch_seconds"]
    assert json.dumps(again) == json.dumps(first)  # the same accuracies from the same seeds
    assert (work / "0/size0/wave-0.json").stat().st_mtime_ns == kept
    shutil.rmtree(work)


@pytest.fixture
def untested(study, tmp_path):
    """The study's first size with data that have no test image: measuring on one would divide by zero."""
    config = load_study(study)
    data = load_section(config.data, config.seed)
    data = replace(data, test=Split(data.test.x[:0], data.test.y[:0]))
    return lambda config: SizeRuns(config, config.families[0], data, tmp_path, 0)


def test_rates_are_chosen_without_a_test_image(study, untested, tmp_path):
    config = load_study(study)
    untested(config).choose_rates("random")
    rates = read_record(tmp_path / "rates" / "random.json")
    assert set(rates) == {"1", "2"}
    for length in rates.values():
        assert set(length["tried"]) == {"0.002", "0.016"}
        assert length["tried"][str(length["rate"])] == max(length["tried"].values())
    with pytest.raises(ZeroDivisionError):  # what a curve measures are test images
        untested(config.model_copy(update={"starts": ("random",)})).curves()


def test_settings_can_be_tried_on_validation_images_alone(study, untested, tmp_path):
    config = load_study(study, ["split=validation"]).model_copy(update={"starts": ("random",)})
    (tmp_path / "rates").mkdir()
    write_record(tmp_path / "rates/random.json", {"1": {"rate": 0.002}, "2": {"rate": 0.016}})
    untested(config).curves()
    assert set(read_record(tmp_path / "size0/random-0.json")["accuracy"]) == {"0", "1", "2"}


def test_a_curve_takes_the_chosen_rate_of_its_length(study, untested, tmp_path):
    config = load_study(study, ["split=validation"]).model_copy(update={"starts": ("random",)})
    (tmp_path / "rates").mkdir()
    accuracies = []
    for rate in (0.016, 1e-9):
        write_record(tmp_path / "rates/random.json", {"1": {"rate": 0.002}, "2": {"rate": rate}})
        untested(config).curves()
        accuracies.append(read_record(tmp_path / "size0/random-0.json")["accuracy"])
        (tmp_path / "size0/random-0.json").unlink()
    assert accuracies[0]["1"] == accuracies[1]["1"]
    assert accuracies[0]["2"] != accuracies[1]["2"]


def test_time_of_a_run_that_was_killed_counts(tmp_path):
    killed = _Clock(tmp_path / "seconds").__enter__()
    killed._begun -= 10  # ten seconds of work
    killed.note()
    with _Clock(tmp_path / "seconds") as clock:
        pass
    assert clock.seconds >= 10
    assert read_record(tmp_path / "seconds")["seconds"] == clock.seconds


def results(wave, random, select):
    def runs(*curves):
        return [
            {"accuracy": {"0": 0.1, "1": a, "3": b, "10": c}, "start_seconds": 2.0, "epoch_seconds": 0.5,
             "parameters": 1000, "scalers": {"qkv": 90}}
            for a, b, c in curves
        ]  # fmt: skip

    size = {
        "size": {"depth": 2, "width": 32},
        "runs": {"wave": runs(*wave), "random": runs(*random), "select": runs(*select)},
        "long": {"target": 0.9, "accuracy": {"10": 0.8, "20": 0.91}, "reached_after": 20},
    }
    family = {
        "family": "vit", "teacher": {"depth": 6, "width": 64, "parameters": 9, "accuracy": 0.95, "epochs": 4},
        "condense": {"seconds": 30.0, "templates": {"qkv": [3, 4, 4]}, "template_parameters": 48}, "sizes": [size],
        "rates": {
            start: {str(e): {"rate": 0.016, "tried": {"0.016": 0.7, "0.0005": 0.6}} for e in (1, 3, 10)}
            for start in ("wave", "random", "select")
        },
    }  # fmt: skip
    return {
        "data": "digits", "teacher_images": 100, "images": 64, "test_images": 50, "split": "test",
        "seeds": 2, "epochs": [0, 1, 3, 10],
        "starts": ["wave", "random", "select"], "scaler_steps": 150, "batch_size": [32], "keras": "3", "backend": "x",
        "families": [family],
    }  # fmt: skip


def test_tables_have_means_deviations_and_who_won():
    text = to_markdown(
        results(
            wave=[(0.80, 0.85, 0.9), (0.84, 0.85, 0.9)],
            random=[(0.2, 0.5, 0.81), (0.2, 0.5, 0.81)],
            select=[(0.83, 0.83, 0.9), (0.83, 0.79, 0.9)],
        )
    )
    assert "| WAVE | 0.0005: 60.0, **0.016: 70.0** |" in text
    assert "measured on 50 test images" in text
    assert "| depth 2, width 32 | WAVE | 10.0 ± 0.0 | 82.0 ± 2.8 | 85.0 ± 0.0 | 90.0 ± 0.0 |" in text
    assert "| depth 2, width 32 | 90.0 | 20 | 10: 80.0, 20: 91.0 |" in text
    assert "| depth 2, width 32 | 90 | 1,000 | 0.09 |" in text
    assert "| WAVE in all, 10 epochs | 37 |" in text  # 30 + 2 + 10 * 0.5
    assert "| each alone from random, until it reaches WAVE | 10 |" in text
    assert "| vit depth 2, width 32 | 82.0 | 81.0 ✓ | 83.0 ✗ | 81.0 ✓ |" in text
    assert "| **won** |  | 1 of 1 | 0 of 1 | 1 of 1 |" in text


def test_a_rival_that_was_left_out_is_left_empty():
    data = results(wave=[(0.8, 0.8, 0.8)], random=[(0.1, 0.1, 0.1)], select=[(0.1, 0.1, 0.1)])
    del data["families"][0]["sizes"][0]["runs"]["select"]
    assert "| vit depth 2, width 32 | 80.0 | 10.0 ✓ |  |  |" in target_table(data)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs: [1, 2]", "epochs: [2, 1]", "expected rising numbers"),
        ("long_epochs: [3]", "long_epochs: [2]", "expected rising numbers"),
        ("depths: [1, 1]}]", "dephts: [1, 1]}]", r"unknown key `families.0.sizes.0.dephts`; did you mean `depths`\?"),
        ("seeds: 1", "starts: [random]", "expected at least one family, and starts each once with wave"),
        ("sizes: [{widths: [4, 8], depths: [1, 1]}]", "sizes: []", "expected at least one size"),
        (
            "{family: resnet, widths: [8, 16], depths: [2, 1], train: {epochs: 1, optimizer: adamw}}",
            "{keras: m.h5, groups: 2}",
            "received `keras:`; expected a family",
        ),
    ],
)
def test_mistakes_in_a_study_are_named_with_their_line(study, old, new, words):
    assert old in STUDY
    study.write_text(STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=rf"tiny\.yaml:\d+: .*{words}"):
        load_study(study)


def test_the_study_of_the_page_has_what_it_promises():
    from pathlib import Path

    config = load_study(Path(__file__).parents[2] / "pipelines" / "wave_study.yaml")
    vit, resnet = config.families
    assert len({size.depth for size in vit.sizes}) >= 3
    assert len({size.width for size in vit.sizes}) >= 2
    assert len(resnet.sizes) >= 2
    assert (config.seeds, config.epochs, config.long_epochs[-1]) == (3, (1, 3, 10), 150)
