"""A guest on loopback that says what the real agent and both extensions say, over plain `http.client`."""

import base64
import http.client
import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.routes import Service

HANDLER = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
VERSION = "9.1.0.0"
CONTENT_TYPE = {"Content-Type": "text/xml;charset=utf-8"}
AGENT_HEADERS = {
    "x-ms-agent-name": "WALinuxAgent",
    "x-ms-version": "2012-11-30",
    "User-Agent": "WALinuxAgent/2.7.3.0",
    "Connection": "close",
}
EXTENSION_HEADERS = {"Backup": "true", "Content-type": "application/json", "UserAgent": "VMSnapshot"}


def identity(number: int) -> GuestIdentity:
    """The VM at 127.0.0.`number`."""
    return GuestIdentity(
        vm_uuid=f"00000000-0000-4000-8000-{number:012d}",
        vm_name=f"guest-{number}",
        role_guid=f"11111111-0000-4000-8000-{number:012d}",
        mac=f"52:54:00:00:00:{number:02x}",
        ip=f"127.0.0.{number}",
    )


class LoopbackLocator:
    """Knows the VMs at some loopback addresses."""

    def __init__(self, *numbers: int) -> None:
        self.known = {identity(number).ip: identity(number) for number in numbers}

    def locate(self, bridge: str, ip: str) -> GuestIdentity | None:
        assert bridge == "lo"
        return self.known.get(ip)


@dataclass
class Reply:
    status: int
    body: bytes

    @property
    def xml(self) -> ET.Element:
        return ET.fromstring(self.body)  # noqa: S314 - our own server's

    @property
    def json(self) -> Any:  # whatever JSON the server sent
        return json.loads(self.body)

    def text_of(self, tag: str) -> str:
        found = self.xml.find(f".//{tag}")
        assert found is not None, tag
        return found.text or ""


@dataclass
class SnapshotSettings:
    seq_no: int
    public: dict[str, Any]  # JSON as served
    protected: str
    thumbprint: str

    @property
    def task_id(self) -> str:
        return str(self.public["taskId"])

    @property
    def token(self) -> str:
        return str(json.loads(base64.b64decode(self.public["objectStr"]))["snapshotTaskToken"])

    @property
    def call(self) -> dict[str, Any]:  # JSON
        return {"taskId": self.task_id, "snapshotTaskToken": self.token}


class GuestActor:
    """One VM's agent and extension."""

    def __init__(self, addresses: Mapping[Service, tuple[str, int]], number: int) -> None:
        self.addresses = addresses
        self.ip = f"127.0.0.{number}"
        self.vm_uuid = identity(number).vm_uuid
        self.container_id = ""
        self.urls: dict[str, str] = {}
        self.incarnation = ""

    def connection(self, service: Service = Service.WIRE) -> http.client.HTTPConnection:
        host, port = self.addresses[service]
        return http.client.HTTPConnection(host, port, timeout=20, source_address=(self.ip, 0))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] = AGENT_HEADERS,
        service: Service = Service.WIRE,
    ) -> Reply:
        connection = self.connection(service)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            assert response.getheader("Content-Length") is not None
            return Reply(response.status, response.read())
        finally:
            connection.close()

    def plugin(self, method: str, path: str, body: bytes | None = None, **extra: str) -> Reply:
        headers = {**AGENT_HEADERS, "x-ms-containerid": self.container_id}
        headers |= {f"x-ms-{name.replace('_', '-')}": value for name, value in extra.items()}
        return self.ask(method, path, body, headers=headers, service=Service.PLUGIN)

    # the agent

    def poll(self) -> str:
        """Fetch the goal state as the main loop does; return its incarnation."""
        reply = self.ask("GET", "/machine/?comp=goalstate")
        assert reply.status == 200
        self.container_id = reply.text_of("ContainerId")
        self.incarnation = reply.text_of("Incarnation")
        kinds = ("HostingEnvironmentConfig", "SharedConfig", "Certificates", "ExtensionsConfig")
        self.urls = {kind: _target(reply.text_of(kind)) for kind in kinds}
        return self.incarnation

    def fetch(self, kind: str, **headers: str) -> Reply:
        extra = {f"x-ms-{name.replace('_', '-')}": value for name, value in headers.items()}
        return self.ask("GET", self.urls[kind], headers={**AGENT_HEADERS, **extra})

    def settings(self) -> SnapshotSettings | None:
        """Fetch the extensions config; return the settings it holds for our extension."""
        reply = self.fetch("ExtensionsConfig")
        assert reply.status == 200
        node = reply.xml.find(".//RuntimeSettings")
        if node is None:
            return None
        handler = json.loads(node.text or "")["runtimeSettings"][0]["handlerSettings"]
        return SnapshotSettings(
            seq_no=int(node.attrib["seqNo"]),
            public=handler["publicSettings"],
            protected=handler["protectedSettings"],
            thumbprint=handler["protectedSettingsCertThumbprint"],
        )

    def status_blob(self, *handlers: dict[str, Any], incarnation: str = "") -> bytes:  # JSON
        processed = {"inSvdSeqNo": incarnation or self.incarnation, "status": "Success", "code": 0}
        return json.dumps(
            {
                "version": "1.1",
                "timestampUTC": "2026-01-01T00:00:05Z",
                "aggregateStatus": {
                    "guestAgentStatus": {"version": "2.7.3.0", "status": "Ready"},
                    "handlerAggregateStatus": list(handlers),
                    "vmArtifactsAggregateStatus": {"goalStateAggregateStatus": processed},
                },
                "guestOSInfo": {"computerName": "vm", "osName": "debian", "osVersion": "12"},
            }
        ).encode()

    def upload(self, blob: bytes, *, container_id: str = "") -> Reply:
        """Send a status through the host plugin."""
        url = f"http://168.63.129.16:80/status/{container_id or self.container_id}"
        upload = {"requestUri": url, "headers": [], "content": base64.b64encode(blob).decode()}
        return self.plugin("PUT", "/status", json.dumps(upload).encode())

    def be_ready(self) -> None:
        """Start as the agent does, up to the first status."""
        assert b"2012-11-30" in self.ask("GET", "/?comp=versions").body
        self.poll()
        assert self.ask("POST", "/machine?comp=health", b"<Health/>").status == 200
        assert self.upload(self.status_blob()).status == 200

    # the extension

    def snapshot_call(self, name: str, call: Mapping[str, Any]) -> Reply:  # JSON
        path = f"/metadata/recsvc/snapshot/{name}?api-version=2017-12-01"
        return self.ask("POST", path, json.dumps(call).encode(), headers=EXTENSION_HEADERS)

    def report_task(self, settings: SnapshotSettings, code: int | str, **changes: Any) -> Reply:  # JSON
        """Upload the extension's status for a task, as the agent passes it on."""
        return self.upload(self.status_blob(task_status(settings, code, **changes)))


def task_status(
    settings: SnapshotSettings,
    code: int | str,
    *,
    task_id: str | None = None,
    seq_no: int | None = None,
    health_code: int = 0,
    status: str = "success",
    telemetry: tuple[tuple[str, str], ...] = (),
    message: str = "",
    beside: bool = False,
) -> dict[str, Any]:  # JSON
    """What the agent passes on of the extension's status file; `beside` puts the details where some extensions do."""
    inner = {"taskId": settings.task_id if task_id is None else task_id, "code": str(code)}
    rest = {
        "telemetryData": [{"Key": key, "Value": value} for key, value in telemetry],
        "vmHealthInfo": {"vmHealthState": 0, "vmHealthStatusCode": health_code},
    }
    report: dict[str, Any] = {"version": "1.0", "timestampUTC": r"\/Date(1)\/"}
    report |= {"status": inner} | rest if beside else {"status": inner | rest}
    return {
        "handlerVersion": VERSION,
        "handlerName": HANDLER,
        "status": "Ready",
        "code": 0,
        "formattedMessage": {"lang": "en-US", "message": "Plugin enabled"},
        "runtimeSettingsStatus": {
            "sequenceNumber": settings.seq_no if seq_no is None else seq_no,
            "settingsStatus": {
                "status": {
                    "status": status,
                    "code": code,
                    "formattedMessage": {"lang": "en-US", "message": message or f"ended with {code}"},
                    "substatus": [{"name": json.dumps([report]), "status": "success", "code": "0"}],
                }
            },
        },
    }


class TransportKey:
    """The key pair an agent makes at its start, and its openssl commands."""

    def __init__(self, folder: Path, *, bits: int = 2048) -> None:
        self.key, self.certificate = folder / "TransportPrivate.pem", folder / "TransportCert.pem"
        _openssl(
            "req", "-x509", "-nodes", "-subj", "/CN=LinuxTransport", "-days", "730", "-newkey", f"rsa:{bits}",
            "-keyout", str(self.key), "-out", str(self.certificate),
        )  # fmt: skip
        self.header = "".join(self.certificate.read_text().splitlines()[1:-1])

    def unpack(self, reply: Reply) -> str:
        """Return the PEM text that the agent would split into .crt and .prv files."""
        p7m = self.key.with_name("Certificates.p7m")
        p7m.write_text(
            "MIME-Version:1.0\n"
            f'Content-Disposition: attachment; filename="{p7m}"\n'
            f'Content-Type: application/x-pkcs7-mime; name="{p7m}"\n'
            f"Content-Transfer-Encoding: base64\n\n{reply.text_of('Data')}"
        )
        keys = ("-inkey", str(self.key), "-recip", str(self.certificate))
        pfx = _openssl("cms", "-decrypt", "-in", str(p7m), *keys)
        return _openssl("pkcs12", "-nodes", "-password", "pass:", given=pfx).decode()


def unprotect(settings: SnapshotSettings, pem: str, folder: Path) -> bytes:
    """Decrypt protected settings as the extensions do."""
    both = folder / f"{settings.thumbprint}.pem"
    both.write_text(pem)
    sealed = base64.b64decode(settings.protected)
    keys = ("-recip", str(both), "-inkey", str(both))
    return _openssl("cms", "-inform", "DER", "-decrypt", *keys, given=sealed)


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True).stdout


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
