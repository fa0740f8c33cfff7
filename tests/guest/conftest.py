"""The guest's world, ready to use."""

import json
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.guest.world import THUMBPRINT, FakeHost, Guest, Kernel
from vmkeep.fabric.wire.extension_package import HANDLER_NAME, HANDLER_VERSION, build_package


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    fake = FakeHost()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            call = self.path.split("?")[0].rsplit("/", 1)[1]
            fake.headers = dict(self.headers)
            fake.asked.append((call, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            fake.on_call(call)
            if call not in fake.answers:
                self.close_connection = True
                return
            status, body = fake.answers[call]
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS", fake.address)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key pair as the agent keeps it: THUMBPRINT.crt and THUMBPRINT.prv."""
    folder = tmp_path_factory.mktemp("keys")
    key, certificate = folder / f"{THUMBPRINT}.prv", folder / f"{THUMBPRINT}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tenant"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return folder


@pytest.fixture
def guest(tmp_path: Path, keys: Path) -> Guest:
    agent, azure = tmp_path / "waagent", tmp_path / "azure"
    extension = agent / f"{HANDLER_NAME}-{HANDLER_VERSION}"
    azure.mkdir()
    with zipfile.ZipFile(build_package(tmp_path / "extension.zip")) as package:
        package.extractall(extension)
    for path in extension.rglob("*.*"):
        path.chmod(path.stat().st_mode | 0o100)
    for key in keys.iterdir():
        (agent / key.name).write_bytes(key.read_bytes())
    places = {"configFolder": "config", "statusFolder": "status", "logFolder": "log"}
    environment = {key: str(extension / name) for key, name in places.items()}
    for folder in environment.values():
        Path(folder).mkdir()
    content = [{"name": HANDLER_NAME, "version": 1.0, "handlerEnvironment": environment}]
    (extension / "HandlerEnvironment.json").write_text(json.dumps(content))
    made = Guest(agent, extension, azure)
    made.write_identity("{11111111-1111-1111-1111-111111111111}")
    return made


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)
