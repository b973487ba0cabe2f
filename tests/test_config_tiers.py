import pytest

from tfpwl.config import load_config, parse_config
from tfpwl.errors import ConfigError

MINIMAL = "name: demo\ndata: {name: digits}\nteacher: {family: lenet5}\n"


@pytest.mark.parametrize("word", ["default", "auto"])
def test_default_tiers_are_low_mid_and_high(word):
    config = parse_config(MINIMAL + f"tiers: {word}\n")
    assert list(config.tiers) == ["low", "mid", "high"]
    assert config.for_tier("high").model_dump() == parse_config(MINIMAL).model_dump()
    assert config.for_tier("low").prune.side == "teacher"
    assert "fp32" not in config.for_tier("low").quantize.ladder


def test_a_tier_is_the_pipeline_with_its_sections_merged_in():
    config = parse_config(
        MINIMAL + "distill: {epochs: 7, batch_size: 5}\nquantize: {ladder: [fp16]}\n"
        "tiers:\n  low: {distill: {epochs: 3}, quantize: {gate: {max_drop: 2}}}\n  high: {quantize: null}\n"
    )
    low, high = config.for_tier("low"), config.for_tier("high")
    assert (low.distill.epochs, low.distill.batch_size, low.quantize.ladder) == (3, 5, ("fp16",))
    assert low.quantize.gate.max_drop == 2.0
    assert (high.distill.epochs, high.quantize, high.tiers) == (7, None, None)


def test_null_takes_back_a_key_of_a_network_so_that_another_kind_can_take_its_place():
    config = parse_config(
        MINIMAL + "student: {channels: [3, 4]}\ntiers:\n  low: {student: {channels: null, derive: {width: 0.5}}}\n"
    )
    assert config.for_tier("low").student.derive.width == 0.5


def test_tiers_do_not_change_the_sum_of_the_pipeline_and_each_has_its_own():
    plain, tiered = parse_config(MINIMAL), parse_config(MINIMAL + "tiers: default\n")
    assert tiered.sha256() == plain.sha256() == tiered.for_tier("high").sha256()
    assert len({tiered.for_tier(name).sha256() for name in tiered.tiers}) == 3
    limited = parse_config(MINIMAL + "tiers: {high: {limits: {bundle_bytes: 5}}}\n")
    assert limited.for_tier("high").sha256() == plain.sha256()


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ("  low:\n    studnt: {}\n", r"p\.yaml:6: unknown key `tiers\.low\.studnt`; did you mean `student`\?"),
        ("  low:\n    student:\n      widts: [3]\n", r"p\.yaml:7: .*`tiers\.low\.student\.widts`; did .*`widths`"),
        ("  low:\n    quantize:\n      gate: {drop: 1}\n", r"p\.yaml:7: .*`tiers\.low\.quantize\.gate\.drop`.*max"),
        ("  low:\n    distill:\n      epochs: -1\n", r"p\.yaml:7: `tiers\.low\.distill\.epochs`: .*\(received -1\)"),
        ("  low:\n    limits: {bytes: 3}\n", r"p\.yaml:6: .*`tiers\.low\.limits\.bytes`; did .*`bundle_bytes`"),
        ("  low:\n    limits: {latency_ms: 0}\n", r"`tiers\.low\.limits\.latency_ms`: .*greater than 0"),
        ("  low:\n    seed: 1\n", r"p\.yaml:6: unknown key `tiers\.low\.seed`; known keys: distill, evaluate, export"),
        ("  low:\n    teacher: {keras: x.keras}\n", r"p\.yaml:6: .*tiers can prune it, not replace it"),
        ("  Low: {}\n", r"p\.yaml:5: `tiers\.Low\.\[key\]`"),
        ("  low:\n    student: {derive: {}, family: vgg}\n", r"p\.yaml:6: `tiers\.low\.student`: .*remove family"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_tier_names_its_line_and_the_remedy(tiers, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(MINIMAL + "tiers:\n" + tiers, source="p.yaml")


@pytest.mark.parametrize(
    ("value", "message"), [("maybe", "expected `default` or a mapping"), ("{}", "at least 1 item")]
)
def test_tiers_are_default_or_a_mapping(value, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(MINIMAL + f"tiers: {value}\n")


def test_a_message_about_a_tiers_pipeline_names_the_tiers_line():
    config = parse_config(MINIMAL + "tiers:\n  low:\n    distill:\n      epochs: 3\n", source="p.yaml").for_tier("low")
    assert config.place("distill", "epochs") == "p.yaml:7: `distill.epochs`"
    assert config.place("teacher", "family") == "p.yaml:3: `teacher.family`"


def test_profiles_are_taken_from_the_yamls_folder(tmp_path):
    (tmp_path / "p.yaml").write_text(MINIMAL + "tiers: {low: {profiles: [profiles/phone.json]}}\n")
    assert load_config(tmp_path / "p.yaml").tiers["low"].profiles == (tmp_path / "profiles" / "phone.json",)
