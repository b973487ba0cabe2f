from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tfpwl.bundle import Bundle, pack, sign
from tfpwl.errors import SignatureError
from tfpwl.runtime import ProgressiveModel


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_an_app_can_demand_a_signature(tiny_bundle, tmp_path, signing_key, packed, opened):
    private, public = signing_key

    def source():
        path = pack(tiny_bundle, tmp_path / "x.tfpwl").root if packed else tiny_bundle.root
        return Bundle.open(path) if opened else path

    with pytest.raises(SignatureError, match="is not signed"):
        ProgressiveModel.open(source(), public_key=public)
    sign(tiny_bundle, private)
    with ProgressiveModel.open(source(), public_key=public) as model:
        assert model.mix == "SSS"
    with pytest.raises(SignatureError, match="does not fit"):
        ProgressiveModel.open(source(), public_key=ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())
