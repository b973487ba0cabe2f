import pytest
from tiny_contents import contents
from web_server import WebServer

from tfpwl.bundle import download


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(tiny_bundle):
    server = WebServer(contents(tiny_bundle.root))
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pulled"
