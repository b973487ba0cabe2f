from __future__ import annotations

import shutil

import numpy as np
import pytest

from tfpwl.bundle import Bundle, sign, update_manifest, verify
from tfpwl.bundle.asset_packs import write_asset_packs
from tfpwl.errors import BundleError, IntegrityError
from tfpwl.runtime import ProgressiveModel


def assets(folder, side, name="tiny"):
    return folder / f"tiny_{side}" / "src" / "main" / "assets" / name


def test_both_packs_together_are_the_bundle(tiny_bundle, tmp_path, keys):
    sign(tiny_bundle, keys.private)
    write_asset_packs({"": Bundle.open(tiny_bundle.root)}, tmp_path / "packs")
    together = tmp_path / "together"
    for side in ("student", "teacher"):
        shutil.copytree(assets(tmp_path / "packs", side), together, dirs_exist_ok=True)
    assert {path.name: path.read_bytes() for path in together.iterdir()} == {
        path.name: path.read_bytes() for path in tiny_bundle.root.iterdir()
    }
    assert all(check.passed for check in verify(together, public_key=keys.public))


def test_the_student_s_pack_answers_while_the_teacher_is_on_its_way(tiny_bundle, tmp_path):
    student, teacher = write_asset_packs({"": tiny_bundle}, tmp_path / "packs", delivery="on-demand")
    folder = assets(tmp_path / "packs", "student")
    (folder / ".pulling").touch()  # what the app writes until the teacher is there
    x = np.ones((1, 6, 6, 1), np.float32)
    with ProgressiveModel.open(folder) as arriving, ProgressiveModel.open(tiny_bundle) as whole:
        np.testing.assert_array_equal(arriving.predict(x), whole.predict(x))
        assert {entry.file for entry in arriving.bundle.missing()} == {
            path.name for path in assets(tmp_path / "packs", "teacher").iterdir()
        }
    assert (student.delivery, teacher.delivery) == ("install-time", "on-demand")
    assert teacher.num_bytes == sum(path.stat().st_size for path in assets(tmp_path / "packs", "teacher").iterdir())


def test_gradle_is_told_names_and_delivery(tiny_bundle, tmp_path):
    write_asset_packs({"": tiny_bundle}, tmp_path / "packs")
    assert (tmp_path / "packs" / "tiny_teacher" / "build.gradle").read_text() == (
        "plugins {\n    id 'com.android.asset-pack'\n}\n\nassetPack {\n    packName = \"tiny_teacher\"\n"
        '    dynamicDelivery {\n        deliveryType = "fast-follow"\n    }\n}\n'
    )
    assert 'deliveryType = "install-time"' in (tmp_path / "packs" / "tiny_student" / "build.gradle").read_text()


def test_each_device_group_has_a_folder(tiny_bundle, tmp_path):
    other = Bundle.open(shutil.copytree(tiny_bundle.root, tmp_path / "other"))
    other = update_manifest(other, tier="high")
    write_asset_packs({"low": tiny_bundle, "high": other}, tmp_path / "packs")
    for side in ("student", "teacher"):
        found = {path.name for path in assets(tmp_path / "packs", side).parent.iterdir()}
        assert found == {"tiny#group_low", "tiny#group_high"}
    manifest = assets(tmp_path / "packs", "student", "tiny#group_high") / "manifest.json"
    assert manifest.read_bytes() == other.manifest_bytes


def test_a_broken_bundle_leaves_nothing(tiny_bundle, tmp_path):
    name = tiny_bundle.manifest.groups[1].teacher.file
    data = (tiny_bundle.root / name).read_bytes()
    (tiny_bundle.root / name).write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(IntegrityError, match=name):
        write_asset_packs({"": tiny_bundle}, tmp_path / "packs" / "deep")
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tiny_bundle, tmp_path):
    (tmp_path / "packs").mkdir()
    with pytest.raises(BundleError, match="packs exists, so it is left alone"):
        write_asset_packs({"": tiny_bundle}, tmp_path / "packs")
    assert list((tmp_path / "packs").iterdir()) == []


@pytest.mark.parametrize("name", ["9digits", "", "../x"])
def test_a_name_that_play_does_not_take_is_refused(tiny_bundle, tmp_path, name):
    with pytest.raises(BundleError, match="expected one that begins with a letter"):
        write_asset_packs({"": tiny_bundle}, tmp_path / "packs", name=name)
    assert not (tmp_path / "packs").exists()


def test_what_a_pack_s_name_cannot_have_is_replaced(tiny_bundle, tmp_path):
    packs = write_asset_packs({"": tiny_bundle}, tmp_path / "packs", name="my-model.v2")
    assert [pack.name for pack in packs] == ["my_model_v2_student", "my_model_v2_teacher"]
