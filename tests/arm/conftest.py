"""The API in process: a real catalog, a clock that moves when told, stand-ins below."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from tests.arm.fakes import FakeEngine, FakeFabric, FakeRepositories
from vmkeep.arm.app import make_app
from vmkeep.arm.identity.clients import Clients
from vmkeep.arm.identity.tokens import TokenIssuer
from vmkeep.arm.operations import FinishedOperations
from vmkeep.arm.service import Service
from vmkeep.base.clock import FakeClock
from vmkeep.catalog import Catalog
from vmkeep.keyvault import LocalKeyring
from vmkeep.keyvault.database import Database
from vmkeep.keyvault.key_vaults import KeyVaults

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
CLIENT = "33333333-3333-3333-3333-333333333333"
SECRET = "s3cret"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/local"
VAULT = f"{GROUP}/providers/Microsoft.RecoveryServices/vaults/main"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/web01"
_CONTAINER = "IaasVMContainer;iaasvmcontainerv2;local;web01"
ITEM = f"{VAULT}/backupFabrics/Azure/protectionContainers/{_CONTAINER}/protectedItems/VM;iaasvmcontainerv2;local;web01"


@dataclass
class Api:
    """A logged-in client of the API, and what is behind it."""

    http: TestClient
    service: Service
    engine: FakeEngine
    fabric: FakeFabric
    repositories: FakeRepositories
    clock: FakeClock

    def call(self, method: str, path: str, body: object = None, **query: str) -> httpx.Response:
        answer: httpx.Response = self.http.request(
            method, path, json=body, params={"api-version": "2026-10-01", **query}
        )
        return answer

    def get(self, path: str, **query: str) -> Any:  # JSON
        answer = self.call("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:  # JSON
        answer = self.call(method, path, body)
        return answer.status_code, answer.json()["error"]

    def protect(self) -> None:
        self.call("PUT", VAULT, {"location": "local"})
        wanted = {"sourceResourceId": VM, "policyId": f"{VAULT}/backupPolicies/DefaultPolicy"}
        answer = self.call("PUT", ITEM, {"properties": wanted})
        assert answer.status_code == 202, answer.text


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service(tmp_path: Path, clock: FakeClock) -> Iterator[Service]:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", clock)
    clients = Clients(catalog, clock)
    clients.put(CLIENT, SECRET)
    database = Database(tmp_path / "keyvault.db")
    yield Service(
        catalog=catalog,
        engine=FakeEngine(catalog, clock),
        fabric=FakeFabric(),
        repositories=FakeRepositories(tmp_path),
        key_vaults=KeyVaults(database, LocalKeyring(tmp_path / "master.key"), clock),
        clock=clock,
        tokens=TokenIssuer(key=ECKey.generate_key("P-256"), tenant=TENANT, clock=clock),
        clients=clients,
        finished=FinishedOperations(),
        subscription=SUBSCRIPTION,
        resource_group="local",
        location="local",
    )
    database.close()
    catalog.close()


@pytest.fixture
def anonymous(service: Service) -> Iterator[TestClient]:
    client = TestClient(make_app(service), base_url="https://vmkeep.test")
    yield client
    client.close()


@pytest.fixture
def api(service: Service, anonymous: TestClient, clock: FakeClock) -> Api:
    anonymous.headers["Authorization"] = f"Bearer {service.tokens.issue(CLIENT)}"
    engine, fabric, repositories = service.engine, service.fabric, service.repositories
    assert isinstance(engine, FakeEngine)
    assert isinstance(fabric, FakeFabric)
    assert isinstance(repositories, FakeRepositories)
    return Api(anonymous, service, engine, fabric, repositories, clock)
