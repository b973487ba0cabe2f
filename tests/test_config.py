from pathlib import Path

import pytest

from tfpwl.config import load_config, parse_config
from tfpwl.errors import ConfigError

MINIMAL = "name: demo\ndata: {name: digits}\nteacher: {family: lenet5}\n"
# wave_study.yaml is a study, with a schema of its own: tests/wave/test_study.py
PIPELINES = sorted(
    path for path in (Path(__file__).parents[1] / "pipelines").glob("*.yaml") if not path.stem.endswith("_study")
)


def test_defaults_are_the_pwl_authors():
    distill = parse_config(MINIMAL).distill
    assert (distill.temperature, distill.alpha) == (2.0, 0.4)
    assert (distill.w_sync, distill.w_recon, distill.w_cross) == (1.0, 1.0, 2.0)
    assert (distill.learning_rate, distill.momentum, distill.weight_decay) == (0.05, 0.9, 5e-4)
    assert (distill.epochs, distill.batch_size, distill.final_learning_rate) == (160, 128, 1e-5)
    assert distill.converter_lr == 0.2


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("distil: {}\n", r"p\.yaml:4: unknown key `distil`; did you mean `distill`\?"),
        ("distill:\n  epochs: 2\n  temprature: 3\n", r"p\.yaml:6: .*`distill.temprature`; did you mean `temperature`"),
        ("student: {qqq: 1}\n", r"unknown key `student.qqq`; known keys: channels, depth, depths"),
        ("seed: -1\n", r"p\.yaml:4: `seed`: .*greater than or equal to 0 \(received -1\)"),
        ("distill: {epochs: many}\n", r"distill.epochs`: .*integer.*'many'"),
        ("distill: {alpha: .nan}\n", r"`distill.alpha`: .*finite"),
        ("seed: 1\nseed: 2\n", r"p\.yaml:5: key `seed` is given twice"),
        ("gates: {min_student_accuracy: 120}\n", r"`gates.min_student_accuracy`: .*100"),
        ("x: [1\n", r"p\.yaml is not valid YAML"),
        ("x: 2026-13-01\n", r"(?s)'2026-13-01' looks like a date or a number and is none .*put it into quotes.*line 4"),
        ("seed: !!int foo\n", r"(?s)'foo' looks like a date or a number and is none"),
        ("student: &s {widths: *s}\n", r"p\.yaml.*nested"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line_and_the_remedy(extra, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(MINIMAL + extra, source="p.yaml")


def test_every_mistake_is_named_at_once():
    with pytest.raises(ConfigError) as raised:
        parse_config("name: a b\ndata: {name: digits, folder: x}\n")
    text = str(raised.value)
    assert "`name`" in text
    assert "received name and folder; expected one of name, folder, npz, python" in text
    assert "key `teacher` is missing" in text


def test_a_teacher_is_a_family_or_a_preset():
    with pytest.raises(ConfigError, match="either `preset:`, `family:` or `keras:`"):
        parse_config("name: a\ndata: {name: digits}\nteacher: {family: vgg, preset: vgg-cifar}\n")


def test_text_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match="received list; expected a mapping"):
        parse_config("- a\n- b\n")


def test_overrides_win_and_are_yaml():
    config = parse_config(MINIMAL, overrides=["distill.epochs=5", "data.augment=null", "student.depths=[1, 2]"])
    assert (config.distill.epochs, config.data.augment, config.student.depths) == (5, None, (1, 2))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("distill.epochs", "expected key=value"),
        ("name.x=1", "`name` holds 'demo', which has no keys"),
        ("distill.epoch=3", "unknown key `distill.epoch`; did you mean `epochs`"),
        ("seed=[", "is not a YAML value"),
        ("distill.epochs=none", r"^--set distill\.epochs=none: `distill\.epochs`: .*received 'none'"),
        ("distill={epochs: 0}", r"^--set distill=\{epochs: 0\}: `distill\.epochs`"),
    ],
)
def test_a_wrong_override_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(MINIMAL, overrides=[override])


def test_exponents_without_a_point_are_numbers():
    assert parse_config(MINIMAL + "distill: {learning_rate: 1e-3}\n").distill.learning_rate == 1e-3


def test_a_missing_file_points_to_init(tmp_path):
    with pytest.raises(ConfigError, match=r"No such pipeline: .*none\.yaml.*tfpwl init"):
        load_config(tmp_path / "none.yaml")


def test_paths_are_taken_from_the_yamls_folder(tmp_path):
    (tmp_path / "p.yaml").write_text("name: a\ndata: {npz: sub/x.npz}\nteacher: {family: vgg}\n")
    assert load_config(tmp_path / "p.yaml").data.npz == tmp_path / "sub" / "x.npz"


def test_the_sum_is_that_of_the_content_not_of_the_text():
    assert parse_config(MINIMAL).sha256() == parse_config("# other text\n" + MINIMAL + "seed: 0\n").sha256()
    assert parse_config(MINIMAL).sha256() != parse_config(MINIMAL + "seed: 1\n").sha256()


def test_the_sum_does_not_depend_on_the_machine_or_the_gates():
    def sha(npz: str, rest: str = "") -> str:
        return parse_config(f"name: a\ndata: {{npz: {npz}}}\nteacher: {{family: vgg}}\n{rest}").sha256()

    assert sha("/home/ann/x.npz") == sha("/home/bob/x.npz")
    assert sha("x.npz") == sha("x.npz", "gates: {max_step_loss: 1.0}\nevaluate: {workers: 2}\n")
    assert sha("x.npz") != sha("y.npz")
    assert sha("x.npz") != sha("x.npz", "evaluate: {mixes: path}\n")


def test_nesting_without_end_is_refused():
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_config("[" * 5000)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_every_pipeline_that_ships_is_valid_and_named_as_its_file(path):
    assert load_config(path).name == path.stem
