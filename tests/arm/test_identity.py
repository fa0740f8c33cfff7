import pytest
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from tests.arm.conftest import CLIENT, ROOT, SECRET, TENANT
from vmkeep.arm.app import routes_app
from vmkeep.arm.identity.clients import FAILURES_ALLOWED, WINDOW_S
from vmkeep.arm.identity.guard import PUBLIC
from vmkeep.arm.identity.tokens import TokenIssuer
from vmkeep.arm.service import Service
from vmkeep.base.clock import FakeClock

TOKEN_URL = f"/{TENANT}/oauth2/v2.0/token"


def log_in(client: TestClient, secret: str = SECRET, client_id: str = CLIENT) -> tuple[int, dict[str, str]]:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = client.post(TOKEN_URL, data=form)
    return answer.status_code, answer.json()


def test_a_right_secret_gets_a_token_that_opens_the_api(anonymous: TestClient) -> None:
    status, answer = log_in(anonymous)
    assert status == 200
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    assert anonymous.get("/subscriptions", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Basic dXNlcjpwYXNz", "Bearer", "Bearer nonsense", "Bearer a.b.c"],
    ids=["none", "basic", "empty", "nonsense", "three-parts"],
)
def test_a_bad_token_is_refused_with_a_challenge(anonymous: TestClient, header: str) -> None:
    answer = anonymous.get("/subscriptions", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "AuthenticationFailed"
    assert f"https://vmkeep.test/{TENANT}" in answer.headers["WWW-Authenticate"]


def test_a_token_of_another_key_or_tenant_is_refused(anonymous: TestClient, service: Service) -> None:
    mine = service.tokens
    forged = TokenIssuer(ECKey.generate_key("P-256"), TENANT, mine.clock)
    foreign = TokenIssuer(mine.key, "another-tenant", mine.clock)
    for issuer in (forged, foreign):
        headers = {"Authorization": f"Bearer {issuer.issue(CLIENT)}"}
        assert anonymous.get("/subscriptions", headers=headers).status_code == 401


def test_a_token_expires(anonymous: TestClient, service: Service, clock: FakeClock) -> None:
    headers = {"Authorization": f"Bearer {service.tokens.issue(CLIENT)}"}
    clock.advance(service.tokens.lifetime_s - 1)
    assert anonymous.get("/subscriptions", headers=headers).status_code == 200
    clock.advance(60)
    assert anonymous.get("/subscriptions", headers=headers).status_code == 401


def test_wrong_secret_and_unknown_client_are_told_the_same(anonymous: TestClient) -> None:
    status, answer = log_in(anonymous, "wrong")
    assert (status, answer["error"]) == (401, "invalid_client")
    status, answer = log_in(anonymous, SECRET, "nobody")
    assert (status, answer["error"]) == (401, "invalid_client")


def test_many_failures_lock_the_client_for_a_while(anonymous: TestClient, clock: FakeClock) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert log_in(anonymous, "wrong")[0] == 401
    assert log_in(anonymous)[0] == 429
    clock.advance(WINDOW_S + 1)
    assert log_in(anonymous)[0] == 200


def test_other_grants_are_refused(anonymous: TestClient) -> None:
    answer = anonymous.post(TOKEN_URL, data={"grant_type": "password", "username": "me"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_discovery_needs_no_token(anonymous: TestClient) -> None:
    cloud = anonymous.get(
        "https://vmkeep.test//metadata/endpoints", params={"api-version": "2022-09-01"}
    ).json()
    assert cloud["resourceManager"] == "https://vmkeep.test"
    old = anonymous.get("/metadata/endpoints", params={"api-version": "2019-05-01"}).json()
    assert old[0]["authentication"]["tenant"] == TENANT
    for tenant in (f"{TENANT}/v2.0", "organizations/v2.0", "adfs"):
        found = anonymous.get(f"/{tenant}/.well-known/openid-configuration").json()
        assert found["token_endpoint"].endswith("/token")
    assert anonymous.get("/adfs/discovery/keys").json()["keys"][0]["kty"] == "EC"


def test_every_other_route_needs_a_token() -> None:
    paths = routes_app().openapi()["paths"]
    public = {path for path in paths if PUBLIC.fullmatch(path)}
    assert all(path.startswith(("/{tenant}/", "/metadata/")) for path in public)
    assert len(public) == 7


def test_the_subscription_in_the_path_must_be_ours(anonymous: TestClient, service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.tokens.issue(CLIENT)}"}
    assert anonymous.get(ROOT, headers=headers).status_code == 200
    other = anonymous.get("/subscriptions/other/resourceGroups", headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (404, "SubscriptionNotFound")
