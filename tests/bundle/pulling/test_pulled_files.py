"""What a pull fetches, in which order, and what a model can do with it on the way."""

import hashlib
from dataclasses import replace

import pytest
from tiny_contents import REST, STUDENT, TEACHER, contents
from web_server import status

from tfpwl.bundle import Bundle, pull, update_manifest, verify
from tfpwl.errors import IntegrityError, ManifestError, PullError
from tfpwl.runtime import ProgressiveModel


def test_a_pulled_bundle_is_the_one_on_the_server(server, folder, tiny_bundle):
    bundle = pull(server.url, folder)
    assert bundle == replace(tiny_bundle, root=folder)
    assert contents(folder) == contents(tiny_bundle.root)
    assert all(check.passed for check in verify(folder))


def test_files_come_in_the_order_they_are_needed(server, folder):
    pull(server.url + "/", folder)
    assert server.requested() == ["manifest.json", "manifest.sig", "labels.txt", *STUDENT, *TEACHER, *REST]


def test_another_order_of_groups_is_another_order_of_files(server, folder, tiny_bundle):
    update_manifest(tiny_bundle, order=(2, 1, 0))
    server.files = contents(tiny_bundle.root)
    pull(server.url + "/manifest.json", folder)
    assert server.requested()[3:8] == [*STUDENT, "b1.decoder.tflite", "g2.teacher.tflite"]


def test_progress_counts_every_byte_and_names_each_mix_when_it_can_run(server, folder, tiny_bundle):
    seen = []
    pull(server.url, folder, on_progress=seen.append)
    assert [progress.done_bytes for progress in seen] == sorted(progress.done_bytes for progress in seen)
    assert seen[-1].done_bytes == seen[-1].total_bytes == sum(entry.bytes for entry in tiny_bundle.files())
    assert list(dict.fromkeys(progress.mix for progress in seen)) == [None, "SSS", "TSS", "TTS", "TTT"]


def test_a_model_answers_when_the_student_is_there_and_grows_with_what_arrives(server, folder, tiny_bundle):
    x = tiny_bundle.manifest.input.preprocess([[[0.5]] * 6] * 6)
    models, errors, answers = [], [], {}

    def advanced(progress):
        if progress.mix is not None and not models:
            models.append(ProgressiveModel.open(folder))
            answers["SSS"] = models[0].predict(x)
            with pytest.raises(IntegrityError) as caught:
                models[0].upgrade(background=False)
            errors.append(str(caught.value))
            assert models[0].mix == "SSS"
            assert (models[0].predict(x) == answers["SSS"]).all()
        if progress.mix not in (None, "SSS") and progress.mix not in answers:
            models[0].upgrade(until=progress.mix, background=False)
            answers[str(progress.mix)] = models[0].predict(x)

    pull(server.url, folder, on_progress=advanced)
    (model,) = models
    assert "g0.teacher.tflite" in errors[0]
    assert "The bundle has not arrived as a whole; run `tfpwl pull` again." in errors[0]
    assert model.mix == "TTT"
    model.close()
    with ProgressiveModel.open(tiny_bundle) as whole:
        for mix, answer in answers.items():
            whole.upgrade(until=mix, background=False)
            # The same bytes through the same engine: the same bits.
            assert (whole.predict(x) == answer).all()


def test_a_folder_whose_student_has_not_arrived_says_so(server, folder):
    server.faults[STUDENT[1]] = [status(403)]
    with pytest.raises(PullError, match=r"g1.student.tflite: the server answers HTTP 403"):
        pull(server.url, folder)
    with pytest.raises(ManifestError, match="has not arrived as a whole yet; run `tfpwl pull` again"):
        Bundle.open(folder)


def test_the_sums_are_those_of_the_manifest(tiny_bundle):
    """Guards the tests above: what they serve is what hashlib says of the files, not what our reader says."""
    for entry in tiny_bundle.files():
        data = (tiny_bundle.root / entry.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.bytes, entry.sha256)
