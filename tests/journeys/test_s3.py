"""A vault in S3: what it needs to be told, and what happens when the object store goes away."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.fabric.idle_vm import idle_vm
from tests.journeys.service import RunningService
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
REGION, USER, SECRET = "us-east-1", "id", "secret"


class S3:
    """An S3 server that can be switched off and on; what it holds stays."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, self._port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{self._port}"

    def switch_off(self) -> None:
        self._server.stop()

    def switch_on(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def create_bucket(self, name: str) -> None:
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=USER,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )
        client.create_bucket(Bucket=name)
        client.close()


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3()
    server.create_bucket("backups")
    yield server
    server.switch_off()


@pytest.fixture
def service(lab: Lab, s3: S3) -> Iterator[RunningService]:
    """`vmkeep up`, told of the S3 server as docs/configuration.md says."""
    settings = {
        "AWS_ACCESS_KEY_ID": USER,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": s3.endpoint,
    }
    service = RunningService(lab.new_folder("service") / "state", settings)
    service.start()
    yield service
    service.stop()


def fill(disk: Path, mib: int) -> str:
    """Write noise to a raw disk of a VM that is off; return its digest."""
    with Path("/dev/urandom").open("rb") as noise:
        disk.write_bytes(noise.read(mib << 20))
    return hashlib.sha256(disk.read_bytes()).hexdigest()


def restored(service: RunningService, folder: Path) -> str:
    """Return the digest of the VM's raw disk in its newest recovery point."""
    disks = ("restore", "disks", "--vm", "idle", "--to", str(folder), "--format", "raw", "--disk", "sda")
    assert service.job(*disks).status == "Completed"
    return hashlib.sha256((folder / "sda.raw").read_bytes()).hexdigest()


def test_vault_in_s3_keeps_backups_and_outlives_a_store_that_goes_away(
    service: RunningService, s3: S3, lab: Lab
) -> None:
    service.ask("vault", "create", "off", "--repository", "s3://backups/vmkeep")
    with idle_vm(lab, running=False) as vm:
        service.ask("protection", "enable-for-vm", "--vm", "idle")
        digest = fill(vm.folder / "data.raw", 96)
        assert service.backup_now("idle").status == "Completed"
        assert restored(service, lab.new_folder("out")) == digest

        vm.write_noise("sda", 90)  # seconds of transfer: the store goes away in the midst of it
        job = service.job_in("reading what changed", "idle")
        s3.switch_off()
        lost = service.job("job", "wait", job.id)
        assert (lost.status, lost.error) == ("Failed", "StoreUnreachable")
        assert "s3://backups/vmkeep" in lost.message
        assert service.findings() == []
        s3.switch_on()
        assert service.backup_now("idle").status == "Completed"
        now = vm.content(lab.new_folder("now") / "sda.raw")
        assert restored(service, lab.new_folder("out")) == hashlib.sha256(now.read_bytes()).hexdigest()
        assert service.ask("repository", "check", "--vault", "off", "--read-data")["problems"] == []
