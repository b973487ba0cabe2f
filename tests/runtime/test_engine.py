from __future__ import annotations

import ctypes
import gc
import sys
import threading

import ai_edge_litert
import numpy as np
import pytest

from tfpwl.bundle import TensorSpec
from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime import InterpreterEngine, LiteRtEngine, litert, make_engine
from tfpwl.runtime.engines import ENGINE_NAMES


@pytest.fixture(params=ENGINE_NAMES)
def engine(request):
    return make_engine(request.param)


def test_a_loaded_group_knows_its_ends(engine, tiny_files):
    group = engine.load(tiny_files["g1.teacher"], threads=1)
    assert group.input == TensorSpec((1, 6, 6, 5), "float32")
    assert group.output == TensorSpec((1, 6, 6, 8), "float32")


# A file with the right sum may still be none: the exporter's fault, or a truncated copy that was signed.
@pytest.mark.parametrize("model", [b"", b"no model at all", b"\x1c\0\0\0TFL3" + b"\xff" * 100])
def test_bytes_that_are_no_model_are_an_engine_error(engine, model):
    with pytest.raises(EngineError, match=rf"cannot load the file \({len(model)} bytes\)"):
        engine.load(model, threads=1)


def test_no_threads_are_an_engine_error(engine, tiny_files):
    with pytest.raises(EngineError, match=r"num_threads should >= 1|threads=0; expected 1 or more"):
        engine.load(tiny_files["g0.student"], threads=0)


def test_input_that_does_not_fit_is_an_engine_error(engine, tiny_files):
    group = engine.load(tiny_files["g0.student"], threads=1)
    with pytest.raises(EngineError, match=r"cannot run the group on float32 \(1, 5, 5, 1\)"):
        group(np.zeros((1, 5, 5, 1), np.float32))


def test_a_closed_group_says_so(engine, tiny_files):
    group = engine.load(tiny_files["g0.student"], threads=1)
    runner = engine.connect([group])
    group(np.zeros((1, 6, 6, 1), np.float32))
    group.close()
    group.close()
    for run in (group, runner):
        with pytest.raises(EngineError, match="was closed"):
            run(np.zeros((1, 6, 6, 1), np.float32))


def test_a_chain_answers_as_its_groups_do_one_by_one(engine, tiny_files):
    """One to five files: with two blocks of memory in turn, an odd and an even number end in different ones."""
    files = ["g0.student", "b0.decoder", "g1.teacher", "b1.encoder", "g2.student"]
    groups = [engine.load(tiny_files[stem], threads=1) for stem in files]
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 1)).astype(np.float32)
    expected = x
    for i, stem in enumerate(files):
        expected = InterpreterEngine().load(tiny_files[stem])(expected)
        answer = engine.connect(groups[: i + 1])(x)
        # The same kernels on the same numbers.
        np.testing.assert_array_equal(answer, expected)
        assert answer.flags.owndata


def test_both_engines_are_the_same_to_the_bit_on_every_file(tiny_files):
    rng = np.random.default_rng(0)
    for data in tiny_files.values():
        ours, theirs = LiteRtEngine().load(data), InterpreterEngine().load(data)
        assert (ours.input, ours.output) == (theirs.input, theirs.output)
        x = rng.normal(size=ours.input.shape).astype(np.float32)
        np.testing.assert_array_equal(ours(x), theirs(x))


def test_many_threads_in_one_chain_get_their_own_answers(engine, tiny_files):
    runner = engine.connect([engine.load(tiny_files[f"g{i}.teacher"], threads=1) for i in range(3)])
    inputs = np.random.default_rng(0).normal(size=(8, 1, 6, 6, 1)).astype(np.float32)
    expected = [runner(x) for x in inputs]
    wrong: list[int] = []

    def ask(i):
        for _ in range(200):
            if not np.array_equal(runner(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_model_may_be_any_readable_memory_at_any_address(engine, tiny_files):
    """A packed bundle is read in place; an odd address is no reason to read weights from it."""
    data = tiny_files["g0.teacher"]
    x = np.ones((1, 6, 6, 1), np.float32)
    expected = engine.load(data, threads=1)(x)
    for offset in (0, 1, 7, 16):
        shifted = memoryview(b"\0" * offset + data)[offset:]
        np.testing.assert_array_equal(engine.load(shifted, threads=1)(x), expected)


def test_a_group_keeps_the_bytes_that_it_reads(tiny_files):
    data = bytearray(tiny_files["g0.teacher"])
    group = LiteRtEngine().load(memoryview(data))
    with pytest.raises(BufferError):
        data.clear()
    group.close()
    data.clear()


def test_groups_that_do_not_fit_are_not_connected(tiny_files):
    engine = LiteRtEngine()
    first, last = engine.load(tiny_files["g0.student"]), engine.load(tiny_files["g2.teacher"])
    with pytest.raises(EngineError, match=r"gives float32 \[1, 6, 6, 3\], and the next one takes float32"):
        engine.connect([first, last])
    with pytest.raises(EngineError, match="another engine"):
        engine.connect([InterpreterEngine().load(tiny_files["g0.student"])])


def test_a_file_with_a_free_batch_is_refused(bad_files):
    with pytest.raises(EngineError, match=r"free shape \[-1, 6, 6, 4\]; every axis must be fixed"):
        LiteRtEngine().load(bad_files["free_batch"])


def test_groups_that_nobody_holds_are_given_back(tiny_files, monkeypatch):
    """Without close(), too: the collector finds the group, whose own runner points back at it."""
    # What other tests left goes first.
    gc.collect()
    library, destroyed = litert.load_library(), []
    real = library.destroy
    monkeypatch.setattr(library, "destroy", lambda what, handle: (destroyed.append(what), real(what, handle)))
    group = LiteRtEngine().load(tiny_files["g0.student"])
    group(np.zeros((1, 6, 6, 1), np.float32))
    del group
    gc.collect()
    assert sorted(destroyed) == ["CompiledModel", "Model", "Options", "TensorBuffer", "TensorBuffer"]


def test_a_missing_runtime_says_what_to_install(tiny_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        InterpreterEngine().load(tiny_files["g0.student"], threads=1)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        _ = InterpreterEngine().tflite_level


@pytest.fixture
def fresh_library():
    """The library is checked once per process; here it is checked again, and again afterwards."""
    litert.load_library.cache_clear()
    yield
    litert.load_library.cache_clear()


def test_the_best_engine_that_works_is_taken(monkeypatch, fresh_library):
    assert make_engine().name == "litert"
    litert.load_library.cache_clear()
    monkeypatch.setattr(ai_edge_litert, "__version__", "9.1.0")
    assert make_engine().name == "interpreter"
    with pytest.raises(EngineError, match=r"ai-edge-litert 9.1.0 is installed; .* was checked with 2.3, .*interpreter"):
        make_engine("litert")


def test_a_library_without_a_symbol_is_refused_by_name(monkeypatch, fresh_library):
    monkeypatch.setitem(litert._FUNCTIONS, "LiteRtGone", (ctypes.c_void_p,))
    with pytest.raises(EngineError, match=r"libLiteRt.so lacks LiteRtGone; install ai-edge-litert"):
        make_engine("litert")


def test_a_package_without_the_library_says_so(monkeypatch, fresh_library, tmp_path):
    monkeypatch.setattr(ai_edge_litert, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(MissingDependencyError, match=r"has no libLiteRt.so for this platform"):
        make_engine("litert")


def test_without_the_package_the_engine_says_what_to_install(monkeypatch, fresh_library):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        make_engine("litert")


def test_an_unknown_engine_is_refused():
    with pytest.raises(EngineError, match="Received engine 'tpu'; expected one of litert, interpreter"):
        make_engine("tpu")


def test_the_declared_structures_have_the_sizes_of_the_library():
    # Static assertions in LiteRT's own headers.
    assert ctypes.sizeof(litert.RankedTensorType) == 72
    assert ctypes.sizeof(litert.PerTensorQuantization) == 16
    assert ctypes.sizeof(litert._EnvironmentOption) == 24
