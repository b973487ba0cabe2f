from __future__ import annotations

import contextlib
import re
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

# Next to this file; pytest puts its folder on the path.
from tool_output import LITERT, TIMINGS

from tfpwl.bench.android.adb import Adb
from tfpwl.bench.android.benchmark_model import BenchmarkModel, binary_abi, parse_output
from tfpwl.bench.android.benchmark_result import read_benchmark_result
from tfpwl.bench.android.device import PhoneFacts
from tfpwl.bench.android.program import ProgramOptions
from tfpwl.bench.android.session import SessionOptions, measure_phones
from tfpwl.errors import DataError, WrongAbiError

MB = 1 << 20


def wire(number, value):
    """A field of a protocol buffer, written here by hand: floats, integers, strings and messages (bytes)."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, int):
        digits = bytearray()
        while value > 127:
            digits.append(value & 127 | 128)
            value >>= 7
        return bytes([number << 3, *digits, value])
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


RESULT = (
    wire(1, b"a name")
    + wire(2, b"".join(wire(n, float(n)) for n in range(1, 11)))
    + wire(3, wire(1, 512) + wire(2, 2048) + wire(3, 7.5))
    + wire(4, wire(1, 1.5) + wire(2, 50) + wire(3, 5))
    + wire(9, b"a field of a later version")
)


class TestOutput:
    def test_tflite(self):
        assert parse_output(TIMINGS) == {
            "init_ms": 0.53, "first_ms": 124.02, "warmup_ms": 117.225, "avg_ms": 116.066, "min_ms": 115.1,
            "max_ms": 118.0, "std_ms": 0.42, "p5_ms": 115.2, "median_ms": 116.01, "p95_ms": 117.0,
            "init_bytes": 3.75 * MB, "overall_bytes": 12.1914 * MB,
        }  # fmt: skip

    def test_tflite_with_the_peak(self):
        text = TIMINGS + "INFO: Overall peak memory footprint (MB) via periodic monitoring: 20.5\n"
        assert parse_output(text)["peak_bytes"] == 20.5 * MB

    def test_large_times_in_the_way_streams_of_cpp_print_them(self):
        text = (
            "Inference timings in us: Init: 530, First inference: 12402, Warmup (avg): 1.17e+06, Inference (avg): 2e+06"
        )
        assert parse_output(text) == {"init_ms": 0.53, "first_ms": 12.402, "warmup_ms": 1170.0, "avg_ms": 2000.0}

    def test_litert(self):
        assert parse_output(LITERT) == {
            "init_ms": 12.34, "first_ms": 8.76, "warmup_ms": 5.43, "avg_ms": 5.21, "min_ms": 5.01, "max_ms": 7.89,
            "std_ms": 0.31, "init_bytes": 3.5 * MB, "overall_bytes": 9.75 * MB, "peak_bytes": 20.0 * MB,
        }  # fmt: skip

    @pytest.mark.parametrize("text", [TIMINGS, LITERT])
    def test_the_prefix_of_logcat_changes_nothing(self, text):
        logcat = "".join(f"11-21 12:00:00.000  123  124 I tflite  : {line}\n" for line in text.splitlines())
        assert parse_output(logcat) == parse_output(text)

    @given(st.lists(st.floats(0, 1e12), min_size=4, max_size=4))
    def test_every_figure_comes_back_as_it_was_printed(self, times):
        printed = [f"{time:g}" for time in times]
        text = "Inference timings in us: Init: {}, First inference: {}, Warmup (avg): {}, Inference (avg): {}"
        assert list(parse_output(text.format(*printed)).values()) == [float(time) / 1000 for time in printed]

    def test_memory_that_was_given_back(self):
        text = TIMINGS.replace("init=3.75", "init=-0.25")
        assert parse_output(text)["init_bytes"] == -0.25 * MB

    @pytest.mark.parametrize(
        "text", ["", "ERROR: Failed to load model", "Inference (avg): -nan ms", "Inference (avg): ."]
    )
    def test_no_timings(self, text):
        with pytest.raises(DataError, match=re.escape(f"Its last words: {text!r}")):
            parse_output(text)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text):
        with contextlib.suppress(DataError):
            assert "avg_ms" in parse_output(text)


class TestResultFile:
    def test_every_field(self):
        assert read_benchmark_result(RESULT) == {
            "avg_ms": 1, "min_ms": 2, "max_ms": 3, "std_ms": 4, "median_ms": 5, "p5_ms": 6, "p95_ms": 7, "init_ms": 8,
            "first_ms": 9, "warmup_ms": 10, "init_bytes": 512 << 10, "overall_bytes": 2048 << 10,
            "peak_bytes": 7.5 * MB, "num_runs": 50, "num_warmup_runs": 5,
        }  # fmt: skip

    def test_fields_that_are_not_there_are_left_out(self):
        assert read_benchmark_result(wire(2, wire(1, 2.5))) == {"avg_ms": 2.5}

    def test_what_is_no_number_is_left_out(self):
        assert read_benchmark_result(wire(2, wire(1, 2.5) + wire(4, float("nan")))) == {"avg_ms": 2.5}

    @pytest.mark.parametrize("data", [b"", wire(1, b"a name")])
    def test_without_times(self, data):
        with pytest.raises(DataError, match=f"has no average time .{len(data)} bytes"):
            read_benchmark_result(data)

    def test_cut_short(self):
        with pytest.raises(DataError, match=r"is no BenchmarkResult \(40 bytes\)"):
            read_benchmark_result(RESULT[:40])

    @given(st.binary())
    def test_any_bytes_are_read_or_refused(self, data):
        with contextlib.suppress(DataError):
            assert "avg_ms" in read_benchmark_result(data)


def elf(path, machine):
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44))
    return path


class TestAbi:
    @pytest.mark.parametrize(("machine", "abi"), [(183, "arm64-v8a"), (40, "armeabi-v7a"), (62, "x86_64"), (3, "x86")])
    def test_of_a_binary(self, tmp_path, machine, abi):
        assert binary_abi(elf(tmp_path / "b", machine)) == abi

    def test_of_something_else(self, tmp_path, script):
        assert binary_abi(script()) is None
        (tmp_path / "empty").touch()
        assert binary_abi(tmp_path / "empty") is None

    def test_a_binary_for_another_processor_is_refused(self, tmp_path):
        facts = PhoneFacts("S1", "Phone", "Maker", "SoC", ("arm64-v8a", "armeabi-v7a"), 33, None, None)
        binary = elf(tmp_path / "benchmark_model", 62)
        message = (
            "benchmark_model is built for x86_64; S1 (Phone) runs arm64-v8a, armeabi-v7a. Give one built for arm64"
        )
        with pytest.raises(WrongAbiError, match=re.escape(message)):
            BenchmarkModel(binary, {}).files(facts)
        # The phone's second ABI will do.
        assert BenchmarkModel(elf(binary, 40), {}).files(facts) == {"benchmark_model": binary}


def test_the_result_file_has_the_last_word(connect, script, tmp_path):
    (tmp_path / "r.pb").write_bytes(RESULT)
    connect()
    program = BenchmarkModel(script(), {"m": tmp_path / "r.pb"})
    reading = program.read("m", TIMINGS, tmp_path / "r.pb")
    assert reading.figures["m"]["avg_ms"] == 1
    assert program.read("m", TIMINGS, None).figures["m"]["avg_ms"] == 116.066
    assert reading.told == {"output": TIMINGS}


def test_arguments_reach_the_program(connect, script, tmp_path):
    device = connect()
    (tmp_path / "m.tflite").write_bytes(b"a model")
    echo = script(f'echo "$0 $@"; taskset -p $$; cat "${{1#--graph=}}"; echo; cat <<END\n{TIMINGS}END')
    options = ProgramOptions(threads=3, delegate="gpu", cpu_mask="1")
    result = measure_phones(
        Adb().select(), BenchmarkModel(echo, {"m": tmp_path / "m.tflite"}, options), SessionOptions(repeats=1)
    )
    said = result.phones[0].runs[0].told["output"].splitlines()
    assert said[0].split() == [
        "/data/local/tmp/tfpwl/benchmark_model", "--graph=/data/local/tmp/tfpwl/models/0.tflite",
        "--result_file_path=/data/local/tmp/tfpwl/benchmark_result.pb", "--num_threads=3", "--use_gpu=true",
    ]  # fmt: skip
    assert said[1].endswith("affinity mask: 1")
    assert said[2] == "a model"
    assert device.files == []


def test_a_real_model_under_a_real_tool(connect, script, tiny_whole, tmp_path):
    """LiteRT's own benchmark, which ai-edge-litert brings; its flag for the model has another name."""
    connect()
    model = tmp_path / "teacher.tflite"
    model.write_bytes(tiny_whole["teacher"])
    tool = script(f'exec {sys.executable} -m ai_edge_litert.tools.benchmark_litert_model --model "${{1#--graph=}}"')
    result = measure_phones(Adb().select(), BenchmarkModel(tool, {"teacher": model}), SessionOptions(repeats=2))
    assert [phone.failure for phone in result.phones] == [None]
    for run in result.phones[0].runs:
        figures = run.figures["teacher"]
        assert {"init_ms", "first_ms", "avg_ms", "median_ms", "p95_ms", "std_ms"} <= set(figures)
        assert 0 <= figures["min_ms"] <= figures["median_ms"] <= figures["max_ms"]
