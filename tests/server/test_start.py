"""What happens at the first start, at the next ones, and when something is in the way."""

import asyncio
import json
import socket
import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.arm.running import connect, fake_parts, run_service
from vmkeep.base.clock import FakeClock, SystemClock
from vmkeep.catalog import Catalog
from vmkeep.keyvault.errors import MasterKeyMissing
from vmkeep.model.protection import Vault
from vmkeep.server.certificates import RENEW_BEFORE, SERVER_LIFE, ensure_certificates
from vmkeep.server.errors import AlreadyRunning, CannotListen, KeyFileUnreadable, StateDirUnusable
from vmkeep.server.https import HttpsServer
from vmkeep.server.service import open_service
from vmkeep.server.settings import Settings
from vmkeep.server.state_dir import open_state_dir, write_private
from vmkeep.server.wiring import assemble

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_that_is_kept_is_closed_to_others(tmp_path: Path) -> None:
    with run_service(tmp_path / "state"):
        pass
    assert mode(tmp_path / "state") == 0o700
    for name in ("ca-key.pem", "server-key.pem", "token-key.pem", "local-client.json"):
        assert mode(tmp_path / "state" / name) == 0o600


def test_a_restart_keeps_identity_secret_and_certificates(tmp_path: Path) -> None:
    def facts() -> tuple[dict[str, str], bytes]:
        with run_service(tmp_path / "state") as running, connect(running) as backup:
            assert len(backup.machines()) == 2
            content = json.loads(running.ready.client_file.read_bytes())
        del content["url"]
        return content, (tmp_path / "state/server.pem").read_bytes()

    assert facts() == facts()


def test_a_lost_client_file_is_made_anew_and_works(tmp_path: Path) -> None:
    with run_service(tmp_path / "state") as running:
        before = running.ready.client_file.read_text()
        running.ready.client_file.unlink()
    with run_service(tmp_path / "state") as running, connect(running) as backup:
        assert backup.vaults() == []
        assert running.ready.client_file.read_text() != before


def test_two_services_never_share_a_state_folder(tmp_path: Path) -> None:
    with (
        run_service(tmp_path / "state"),
        pytest.raises(AlreadyRunning),
        open_service(Settings(state_dir=tmp_path / "state", port=0), fake_parts, SystemClock()),
    ):
        pytest.fail("a second service started")


def test_a_port_in_use_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(state_dir=tmp_path / "state", port=other.getsockname()[1])
        with pytest.raises(CannotListen, match="in use"), open_service(settings, fake_parts, SystemClock()):
            pytest.fail("the service started")
    assert not (tmp_path / "state/catalog.db").exists()


def test_a_state_folder_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirUnusable, match="Not a directory"), open_state_dir(tmp_path / "file/state"):
        pytest.fail("the folder was made")


def test_certificates_last_until_they_end_or_names_change(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, ["127.0.0.1", "localhost"], NOW)
    made = first.server.read_bytes()
    ensure_certificates(tmp_path, ["localhost", "127.0.0.1"], NOW + timedelta(days=1))
    assert first.server.read_bytes() == made
    ensure_certificates(
        tmp_path, ["127.0.0.1", "localhost"], NOW + SERVER_LIFE - RENEW_BEFORE + timedelta(days=1)
    )
    renewed = first.server.read_bytes()
    assert renewed != made
    ensure_certificates(tmp_path, ["127.0.0.1", "elsewhere"], NOW + SERVER_LIFE)
    assert first.server.read_bytes() != renewed


def test_certificate_and_key_fit_and_the_ca_is_kept(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, ["127.0.0.1"], NOW)
    ca = files.ca.read_bytes()
    files.server.unlink()
    ensure_certificates(tmp_path, ["127.0.0.1"], NOW)
    assert files.ca.read_bytes() == ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)


def test_a_damaged_certificate_is_explained(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, ["127.0.0.1"], NOW)
    files.ca.write_text("nonsense")
    with pytest.raises(KeyFileUnreadable, match=r"ca\.pem"):
        ensure_certificates(tmp_path, ["127.0.0.1"], NOW)


def test_a_missing_master_key_is_never_replaced_while_there_are_vaults(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", clock)
    catalog.create_vault(Vault("1", "main", "local", "local", "file:///nowhere", b"", NOW))
    catalog.close()
    with (
        pytest.raises(MasterKeyMissing, match=r"master\.key is missing, and 1 vault") as refused,
        assemble(Settings(state_dir=tmp_path), tmp_path, clock),
    ):
        pytest.fail("the service started")
    assert "Put back the file" in refused.value.advice
    assert not (tmp_path / "master.key").exists()


def test_a_certificate_is_renewed_while_the_service_runs(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    with open_service(Settings(state_dir=tmp_path / "state", port=0), fake_parts, clock) as ready:
        server = ready.make_server(lambda: None)
        server.config.load()
        before = served_certificate(server)
        clock.advance((SERVER_LIFE - RENEW_BEFORE + timedelta(days=1)).total_seconds())
        assert served_certificate(server) == before
        asyncio.run(server.renew_certificate())
        renewed = served_certificate(server)
        assert renewed != before
        (tmp_path / "state/server.pem").write_text("nonsense")
        asyncio.run(server.renew_certificate())
        assert served_certificate(server) == renewed


def served_certificate(server: HttpsServer) -> bytes:
    """Shake hands with a server's TLS in memory; return the certificate it shows."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    client = asking.wrap_bio(back, there)
    assert server.config.ssl is not None
    answering = server.config.ssl.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for side in (client, answering):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown = client.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"one")
    write_private(tmp_path / "secret", b"two")
    assert (tmp_path / "secret").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
