import pytest

from tfpwl.config import parse_config
from tfpwl.errors import ConfigError

MINIMAL = (
    "name: demo\ndata: {name: digits}\nteacher: {family: resnet, widths: [6, 8], depths: [1, 1]}\n"
    "student: {widths: [4, 6]}\n"
)
LIMITED = MINIMAL + "tiers:\n  low:\n    limits: {latency_ms: 1, bundle_bytes: 9}\n"


def space(text, extra=""):
    config = parse_config(MINIMAL + f"tiers:\n  low:\n    limits: {{latency_ms: 1}}\n{extra}    search: {text}\n")
    return config.search_space("low")


def test_latency_alone_stands_for_a_search_under_that_limit():
    config = parse_config(LIMITED + "    search: latency\n")
    assert (config.tiers["low"].search.limit, config.tiers["low"].search.trials) == ("latency", 12)


def test_the_default_space_is_around_what_the_tiers_pipeline_says():
    plain = space("latency")
    assert plain["student.widths"] == ([2, 3], [3, 4], [4, 6])
    assert plain["prune"] == (None, *({"side": "teacher", "target": {"flops": share}} for share in (0.3, 0.5, 0.7)))
    assert plain["quantize.ladder"] == (["fp32"], ["fp16"], ["w8"], ["int8"])
    given = space(
        "latency",
        "    student: {widths: null, derive: {width: 0.4}}\n    prune: {target: {bytes: 0.6}}\n"
        "    quantize: {ladder: [w8, fp16]}\n",
    )
    assert given == {
        "student.derive.width": (0.2, 0.3, 0.4),
        "prune.target.bytes": (0.3, 0.5, 0.6, 0.7),
        "quantize.ladder": (["w8"], ["fp16"]),
    }


def test_where_int8_is_trained_for_the_ladder_chooses_for_itself():
    assert "quantize.ladder" not in space("latency", "    quantize: {ladder: [w8, int8], qat: {}}\n")


def test_a_choice_is_merged_behind_the_tiers_sections():
    config = parse_config(
        LIMITED + "    prune: {target: {flops: 0.2}, steps: 7}\n"
        "    search: {space: {prune.target.flops: [0.4], student: [{widths: [3, 3]}]}}\n"
    )
    tried = config.for_tier("low", {"prune.target.flops": 0.4, "student": {"widths": [3, 3]}})
    assert (tried.prune.target.flops, tried.prune.steps, tried.student.widths) == (0.4, 7, (3, 3))
    assert config.for_tier("low").prune.target.flops == 0.2


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("quick", r"p\.yaml:8: `tiers\.low\.search\.limit`: .*'latency', 'bytes' or 'memory' \(received 'quick'\)"),
        ("memory", r"p\.yaml:8: `tiers\.low\.search`: .*limit on memory, which is not set; add `limits: \{resident_by"),
        ("{trails: 3}", r"p\.yaml:8: unknown key `tiers\.low\.search\.trails`; did you mean `trials`"),
        ("{trials: 0}", r"`tiers\.low\.search\.trials`: .*greater than or equal to 1"),
        ("{space: {}}", r"`tiers\.low\.search\.space`: .*at least 1 item"),
        ("{space: {student.wdths: [3]}}", r"space\.student\.wdths`: with 3, .*no key of a pipeline; did .* `widths`"),
        ("{space: {prune.target.flops: []}}", r"space\.prune\.target\.flops`: received no value; expected a list"),
        ("{space: {prune.target.flops: 0.4}}", r"prune\.target\.flops`: received 0\.4; expected a list of the values"),
        ("{space: {prune.target.flops: [0.4, 0.4]}}", r"received 0\.4 twice; expected each value once"),
        ("{space: {prune.target.flops: [0.4, 1.5]}}", r"with 1\.5, `prune\.target\.flops`: .*less than 1"),
        ("{space: {student.derive: [{}]}}", r"with \{\}, `student`: `derive:` makes .* remove widths"),
        ("{space: {seed: [0, 1]}}", r"cannot try values of `seed`; expected keys of teacher, student, wave, distill"),
        ("{space: {gates.max_step_loss: [1]}}", r"cannot try values of `gates\.max_step_loss`"),
        ("{space: {prune: [null], prune.target.flops: [0.3]}}", r"`prune.target.flops` lies inside `prune`"),
    ],
)
def test_a_mistake_in_a_search_names_its_line_and_the_remedy(search, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(f"{LIMITED}    search: {search}\n", source="p.yaml")


def test_a_profile_cannot_stand_beside_a_search():
    with pytest.raises(ConfigError, match=r"a profile has the times of one bundle.*remove `profiles` or `search`"):
        parse_config(LIMITED + "    profiles: [phone.json]\n    search: latency\n")


def test_values_that_do_not_go_together_are_refused_when_they_meet():
    config = parse_config(
        LIMITED + "    search: {space: {quantize.ladder: [[int8], [w8]], quantize.qat: [null, {epochs: 1}]}}\n",
        source="p.yaml",
    )
    with pytest.raises(ConfigError, match=r"p\.yaml:8: `tiers\.low\.search`: .*is no pipeline: .*not on the ladder"):
        config.for_tier("low", {"quantize.ladder": ["w8"], "quantize.qat": {"epochs": 1}})


def test_a_message_with_braces_is_shown_as_it_is():
    text = "name: d\ndata: {name: digits}\nteacher: {keras: x.keras, groups: 2}\nstudent: {derive: {}}\n"
    with pytest.raises(ConfigError, match=r"expected `derive: \{width: …, depth: …\}`"):
        parse_config(text + "tiers: {low: {student: {derive: null, widths: [3, 4]}}}\n")
