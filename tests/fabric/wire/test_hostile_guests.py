"""What a hostile guest cannot do to the host or to its neighbours."""

import http.client
import select
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from socket import SHUT_WR, create_connection, socket

import psutil
import pytest

from tests.fabric.wire import attacker
from tests.fabric.wire.conftest import ALPHA, BETA, STRANGER, Site, StartSite
from tests.fabric.wire.guest_actor import AGENT_HEADERS, GuestActor, identity
from vmkeep.base.clock import FakeClock
from vmkeep.base.units import KIB, MIB
from vmkeep.fabric.wire import guest_json
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.limits import WireLimits
from vmkeep.fabric.wire.routes import Service

PACE_S = 0.2
"""The neighbour keeps within its own allowance of connections."""
ROOT = Path(__file__).resolve().parents[3]


def knock(guest: GuestActor, service: Service = Service.WIRE) -> socket:
    return create_connection(guest.addresses[service], 20, (guest.ip, 0))


def is_reset(connection: socket) -> bool:
    """Wait until the server resets the connection; what it may have sent before stays unread."""
    hung_up = select.poll()
    hung_up.register(connection, 0)
    return bool(hung_up.poll(20_000))


def answer_to(guest: GuestActor, sent: bytes, service: Service = Service.WIRE) -> bytes:
    """Send raw bytes, close our side, and return all that comes back; empty when reset."""
    received = b""
    with knock(guest, service) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        connection.shutdown(SHUT_WR)
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: 104857600\r\n\r\n", b"413"),
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: 1e3\r\n\r\n", b"400"),
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"400"),
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nfour", b"400"),
        (b"POST /HealthService HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 17 * KIB, b"400"),
        (b"GET http://[bad HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET /?" + b"a=1&" * 100 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"HEAD /machine/?comp=goalstate HTTP/1.1\r\nHost: h\r\n\r\n", b"404"),
    ],
    ids=[
        "body-announced-too-long", "length-no-number", "length-negative", "length-endless", "body-cut-short",
        "bad-chunk", "endless-header", "bad-target", "target-not-ascii", "many-query-fields", "not-http", "head",
    ],
)  # fmt: skip
def test_malformed_requests_are_refused(alpha: GuestActor, sent: bytes, status: bytes) -> None:
    assert answer_to(alpha, sent).startswith(b"HTTP/1.1 " + status)


def test_nothing_sent_gets_nothing_back(alpha: GuestActor) -> None:
    assert answer_to(alpha, b"") == b""


def test_a_body_longer_than_its_route_allows_is_not_buffered(alpha: GuestActor) -> None:
    chunk = b"10000\r\n" + b"x" * 64 * KIB + b"\r\n"
    head = b"POST /HealthService HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answer_to(alpha, head + chunk + chunk).startswith(b"HTTP/1.1 413")


def test_a_waiting_client_is_told_to_continue(alpha: GuestActor) -> None:
    head = b"POST /HealthService HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    assert b"HTTP/1.1 100" in answer_to(alpha, head)


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b"9" * 60_000, b'{"a":' * 10_000, b"\xff\xfe", b'"\\ud800"', b"nul", b"null", b"[]"],
    ids=["deep-list", "huge-number", "deep-object", "not-utf-8", "surrogate", "cut", "null", "list"],
)
def test_odd_json_is_refused(alpha: GuestActor, body: bytes) -> None:
    alpha.poll()
    assert alpha.plugin("PUT", "/status", body).status in {400, 410}
    assert alpha.ask("PUT", f"/status/{alpha.container_id}", body).status == 400
    reply = alpha.ask("POST", "/metadata/recsvc/snapshot/dosnapshot", body)
    assert reply.status in {400, 500}
    assert reply.status == 400 or reply.body.startswith(b'{ "error"')


def test_text_from_guests_is_short_and_printable() -> None:
    assert guest_json.text("a\x1b[31m\nb\u2028\x9b" + "c" * 1000) == "a [31m b " + "c" * 190
    assert guest_json.text(["x"]) == ""
    assert guest_json.integer("99999999999999999999") is None
    assert guest_json.seconds(float("nan")) is None
    with pytest.raises(RequestRefused):
        guest_json.parse("[" * 100_000)


def test_headers_that_never_end_are_cut_off_in_time(start_site: StartSite) -> None:
    site = start_site(limits=WireLimits(header_s=0.2))
    with knock(site.guest(ALPHA)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost")
        assert is_reset(connection)


def test_a_body_that_never_ends_is_cut_off_in_time(start_site: StartSite) -> None:
    site = start_site(limits=WireLimits(body_s=0.2))
    with knock(site.guest(ALPHA)) as connection:
        connection.sendall(b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nf")
        assert is_reset(connection)


def test_a_guest_that_does_not_read_is_cut_off_in_time(start_site: StartSite, package: Path) -> None:
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("large", bytes(32 * MIB))
    site = start_site(limits=WireLimits(write_s=0.2))
    with knock(site.guest(ALPHA)) as connection:
        connection.sendall(b"GET /extension/package.zip HTTP/1.1\r\nHost: h\r\n\r\n")
        assert is_reset(connection)


def test_one_position_holds_a_few_connections_only(site: Site, alpha: GuestActor) -> None:
    held = [knock(alpha) for _ in range(16)]
    with pytest.raises(ConnectionError):
        alpha.ask("GET", "/?comp=versions")
    assert site.guest(BETA).poll()
    held[0].sendall(b"GET /?comp=versions HTTP/1.1\r\nHost: h\r\n\r\n")
    assert held[0].recv(12) == b"HTTP/1.1 200"
    for connection in held:
        connection.close()


def test_one_position_connects_so_often_only(start_site: StartSite) -> None:
    clock = FakeClock()
    site = start_site(clock=clock, limits=WireLimits(connect_burst=5, connects_per_s=1))
    alpha = site.guest(ALPHA)
    for _ in range(5):
        alpha.poll()
    with pytest.raises(ConnectionError):
        alpha.poll()
    assert site.guest(BETA).poll()
    clock.advance(1)
    assert alpha.poll()


def test_a_bridge_holds_so_many_connections_only(start_site: StartSite) -> None:
    site = start_site(limits=WireLimits(connections_per_bridge=2))
    with knock(site.guest(ALPHA)), knock(site.guest(BETA)), pytest.raises(ConnectionError):
        site.guest(BETA).poll()


def test_an_address_that_changes_hands_is_noticed_at_once(site: Site, alpha: GuestActor) -> None:
    alpha.poll()
    alphas = alpha.container_id
    site.locator.known[alpha.ip] = identity(BETA)
    alpha.poll()
    assert alpha.container_id != alphas
    del site.locator.known[alpha.ip]
    with pytest.raises(ConnectionError):
        alpha.poll()


def test_a_failing_locator_leaves_everybody_unknown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bridge: str, _ip: str) -> None:
        raise OSError("no neighbours")

    with monkeypatch.context() as patched:
        patched.setattr(site.locator, "locate", fail)
        with pytest.raises(ConnectionError):
            site.guest(ALPHA).poll()
    assert site.guest(ALPHA).poll()


def test_strangers_wait_in_a_line_of_their_own(
    start_site: StartSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = start_site(limits=WireLimits(newcomers_per_bridge=1))
    site.guest(BETA).poll()
    asked, release = threading.Event(), threading.Event()
    locate = site.locator.locate

    def slow_for_strangers(bridge: str, ip: str) -> GuestIdentity | None:
        if ip == site.guest(STRANGER).ip:
            asked.set()
            assert release.wait(20)
        return locate(bridge, ip)

    with monkeypatch.context() as patched:
        patched.setattr(site.locator, "locate", slow_for_strangers)
        with knock(site.guest(STRANGER)):
            assert asked.wait(20)
            with pytest.raises(ConnectionError):
                site.guest(ALPHA).poll()
            assert site.guest(BETA).poll()
            release.set()


def test_an_agent_that_cannot_be_remembered_is_not_served(
    site: Site, alpha: GuestActor, tmp_path: Path
) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / alpha.vm_uuid).write_text("in the way")
    with pytest.raises(http.client.RemoteDisconnected):
        alpha.poll()
    assert site.guest(BETA).poll()


def test_a_failing_handler_answers_what_no_extension_hangs_on(
    site: Site, alpha: GuestActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha.poll()
    monkeypatch.setattr("vmkeep.fabric.wire.imds.compute", lambda _identity: 1 / 0)
    reply = alpha.ask("GET", "/metadata/instance/compute", headers=AGENT_HEADERS)
    assert reply.status == 500
    assert reply.body.startswith(b'{ "error"')
    assert site.server.report(alpha.vm_uuid).refused == 1


@pytest.mark.slow
def test_a_neighbour_is_served_while_one_guest_does_its_worst(site: Site, alpha: GuestActor) -> None:
    beta = site.guest(BETA)
    beta.be_ready()
    alpha.be_ready()
    process = psutil.Process()
    before = process.memory_info().rss
    host, wire = site.addresses[Service.WIRE]
    command = [sys.executable, "-m", attacker.__name__, alpha.ip, host, str(wire)]
    with subprocess.Popen([*command, str(site.addresses[Service.PLUGIN][1]), "4"], cwd=ROOT) as attack:
        answered, worst = 0, 0
        while attack.returncode is None:
            assert beta.poll()
            assert beta.upload(beta.status_blob()).status == 200
            answered += 1
            worst = max(worst, process.memory_info().rss - before)
            with suppress(subprocess.TimeoutExpired):
                attack.wait(PACE_S)
    assert attack.returncode == 0
    assert answered > 1
    assert worst < 96 * MIB
    assert site.server.report(beta.vm_uuid).refused == 0
    assert site.server.report(alpha.vm_uuid).refused > 0
