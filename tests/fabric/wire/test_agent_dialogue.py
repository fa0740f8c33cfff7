"""What the agent asks, byte for byte, and what it gets."""

import base64
from pathlib import Path

import pytest

from tests.fabric.wire.conftest import ALPHA, BETA, STRANGER, Site, StartSite
from tests.fabric.wire.guest_actor import AGENT_HEADERS, GuestActor, TransportKey, identity
from vmkeep.base.clock import FakeClock
from vmkeep.fabric.wire.report import Signal
from vmkeep.fabric.wire.routes import Service


def test_an_agent_becomes_ready(site: Site, alpha: GuestActor) -> None:
    alpha.be_ready()
    report = site.server.report(alpha.vm_uuid)
    assert report.ready
    assert report.status is not None
    assert report.status.agent_version == "2.7.3.0"
    assert report.status.incarnation == alpha.incarnation
    assert {Signal.GOAL_STATE, Signal.STARTED, Signal.STATUS} <= set(report.sightings)


def test_ready_ends_30_s_after_the_last_status(start_site: StartSite) -> None:
    clock = FakeClock()
    site = start_site(clock=clock)
    site.guest(ALPHA).be_ready()
    clock.advance(29)
    assert site.server.report(identity(ALPHA).vm_uuid).ready
    clock.advance(1)
    report = site.server.report(identity(ALPHA).vm_uuid)
    assert not report.ready
    assert report.status_age_s == 30
    assert report.clock_skew_s == 5


def test_a_vm_never_seen_has_an_empty_report(site: Site) -> None:
    report = site.server.report(identity(BETA).vm_uuid)
    assert not report.seen
    assert not report.ready


def test_every_config_of_the_goal_state_is_served(alpha: GuestActor) -> None:
    alpha.poll()
    hosting = alpha.fetch("HostingEnvironmentConfig").xml
    role = hosting.find("Role")
    assert {node.tag for node in hosting} == {"Deployment", "Incarnation", "Role"}
    assert role is not None
    assert role.attrib["guid"] == "{" + identity(ALPHA).role_guid + "}"
    assert alpha.fetch("SharedConfig").status == 200
    assert alpha.settings() is None


def test_the_agents_small_requests_are_answered_as_it_demands(alpha: GuestActor) -> None:
    alpha.poll()
    assert alpha.ask("POST", "/machine?comp=roleProperties", b"<RoleProperties/>").status == 202
    assert alpha.ask("POST", "/machine?comp=telemetrydata", b"<TelemetryData/>").status == 200
    assert alpha.ask("POST", "/HealthService", b"{}").status == 200
    assert b"2015-09-01" in alpha.plugin("GET", "/versions").body
    assert alpha.plugin("GET", "/health").status == 200
    assert alpha.plugin("GET", "/vmSettings").status == 404
    assert alpha.plugin("PUT", "/vmAgentLog", b"z" * 300_000).status == 200
    assert alpha.ask("PUT", f"/status/{alpha.container_id}", alpha.status_blob()).status == 201


def test_the_extension_is_served_directly_and_through_the_host_plugin(
    alpha: GuestActor, package: Path
) -> None:
    alpha.poll()
    manifest = alpha.ask("GET", "/extension/manifest.xml")
    uri = manifest.text_of("Uri")
    assert alpha.ask("GET", "/extension/package.zip").body == package.read_bytes()
    assert alpha.plugin("GET", "/extensionArtifact", artifact_location=uri).body == package.read_bytes()
    assert alpha.plugin("GET", "/extensionArtifact", artifact_location="http://elsewhere/x").status == 404


@pytest.mark.parametrize(
    "service", [Service.IMDS, Service.WIRE], ids=["at-its-address", "on-the-wire-server"]
)
def test_instance_metadata_names_the_vm(site: Site, alpha: GuestActor, service: Service) -> None:
    headers = {**AGENT_HEADERS, "Metadata": "True"}
    path = "/metadata/instance?api-version=2018-02-01"
    interface = alpha.ask("GET", path, headers=headers, service=service).json["network"]["interface"][0]
    assert interface["macAddress"] == "525400000002"
    assert interface["ipv4"]["ipAddress"][0]["privateIpAddress"] == alpha.ip
    compute = alpha.ask("GET", "/metadata/instance/compute?api-version=2018-02-01", service=service).json
    assert compute["vmId"] == identity(ALPHA).role_guid
    signal = Signal.IMDS if service is Service.IMDS else Signal.IMDS_ON_WIRE_SERVER
    assert site.server.report(alpha.vm_uuid).sightings[signal].count == 2


def test_openssl_reads_the_certificates_as_the_agent_does(alpha: GuestActor, tmp_path: Path) -> None:
    key = TransportKey(tmp_path)
    alpha.poll()
    reply = alpha.fetch("Certificates", cipher_name="DES_EDE3_CBC", guest_agent_public_x509_cert=key.header)
    assert reply.status == 200
    pem = key.unpack(reply)
    assert pem.count("BEGIN CERTIFICATE") == 1
    assert pem.count("BEGIN PRIVATE KEY") == 1
    lines = reply.text_of("Data").strip().splitlines()
    assert max(map(len, lines)) == 64


@pytest.mark.parametrize(
    "header",
    ["", "not base64!", base64.b64encode(b"not a certificate").decode()],
    ids=["absent", "not-base64", "not-a-certificate"],
)
def test_a_bad_transport_certificate_is_refused(alpha: GuestActor, header: str) -> None:
    alpha.poll()
    assert alpha.fetch("Certificates", guest_agent_public_x509_cert=header).status == 400


def test_a_transport_key_of_unusual_size_is_refused(alpha: GuestActor, tmp_path: Path) -> None:
    alpha.poll()
    key = TransportKey(tmp_path, bits=768)
    assert alpha.fetch("Certificates", guest_agent_public_x509_cert=key.header).status == 400


def test_two_vms_have_nothing_in_common(site: Site, alpha: GuestActor) -> None:
    beta = site.guest(BETA)
    alpha.be_ready()
    beta.be_ready()
    assert alpha.container_id != beta.container_id
    assert site.server.report(alpha.vm_uuid).vm_uuid != site.server.report(beta.vm_uuid).vm_uuid


def test_another_vms_container_is_gone_for_everybody_else(site: Site, alpha: GuestActor) -> None:
    beta = site.guest(BETA)
    alpha.be_ready()
    beta.be_ready()
    thief = site.guest(BETA)
    thief.container_id, thief.urls = alpha.container_id, alpha.urls
    before = site.server.report(alpha.vm_uuid)
    assert thief.fetch("ExtensionsConfig").status == 410
    assert thief.plugin("GET", "/health").status == 410
    assert thief.upload(thief.status_blob()).status == 410
    assert thief.ask("PUT", f"/status/{alpha.container_id}", thief.status_blob()).status == 410
    assert beta.upload(beta.status_blob(), container_id=alpha.container_id).status == 410
    assert site.server.report(alpha.vm_uuid).sightings.keys() == before.sightings.keys()
    assert site.server.report(alpha.vm_uuid).refused == 0
    assert site.server.report(beta.vm_uuid).refused == 5


def test_an_unknown_position_gets_no_answer(site: Site) -> None:
    with pytest.raises(ConnectionError):
        site.guest(STRANGER).ask("GET", "/?comp=versions")


def test_unknown_paths_are_not_found(site: Site, alpha: GuestActor) -> None:
    assert alpha.ask("GET", "/").status == 404
    assert alpha.ask("GET", "/machine/plugins?comp=xdisksvc&type=checkforsnapshot").status == 404
    assert alpha.ask("GET", "/machine/?comp=goalstate", service=Service.IMDS).status == 404
    assert alpha.ask("DELETE", "/machine/?comp=goalstate").status == 404
    assert site.server.report(alpha.vm_uuid).refused == 4
