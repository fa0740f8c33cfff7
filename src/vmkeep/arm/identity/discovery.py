"""What `az cloud register` and MSAL ask before they log in. Public."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from vmkeep.arm.keyvault.addresses import suffix_of
from vmkeep.arm.members import Json
from vmkeep.arm.service import Here

router = APIRouter()


@router.get("/metadata/endpoints", response_model=None)
def metadata(
    request: Request, here: Here, api_version: Annotated[str, Query(alias="api-version")] = "2022-09-01"
) -> Json | list[Json]:
    """Describe this cloud: a single object, or an array for clients of the 2019 version."""
    base = str(request.base_url).rstrip("/")
    described = _cloud(base, here.tenant, suffix_of(request.base_url.netloc))
    return [described] if api_version.startswith("2019") else described


def _cloud(base: str, tenant: str, key_vault_suffix: str) -> Json:
    return {
        "name": "vmkeep",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [f"{base}/"],
            "tenant": tenant,
            "identityProvider": "AAD",
        },
        "resourceManager": base,
        "graphAudience": f"{base}/graph",
        "graph": f"{base}/graph",
        "microsoftGraphResourceId": f"{base}/graph",
        "gallery": f"{base}/gallery",
        "batch": f"{base}/batch",
        "media": f"{base}/media",
        "sqlManagement": f"{base}/sql",
        "vmImageAliasDoc": f"{base}/aliases.json",
        "activeDirectoryDataLake": base,
        "suffixes": {"keyVaultDns": key_vault_suffix, "storage": base.partition("//")[2]},
    }


@router.get("/{tenant}/v2.0/.well-known/openid-configuration")
@router.get("/{tenant}/.well-known/openid-configuration")
def openid_configuration(request: Request, here: Here, tenant: str) -> Json:
    """Say where tokens are had; `tenant` may be any word, `adfs` and `organizations` among them."""
    base = f"{str(request.base_url).rstrip('/')}/{tenant}"
    version = "" if tenant.lower() == "adfs" else "/v2.0"
    return {
        "issuer": here.tokens.issuer,
        "authorization_endpoint": f"{base}/oauth2{version}/authorize",
        "token_endpoint": f"{base}/oauth2{version}/token",
        "jwks_uri": f"{base}/discovery/keys",
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


@router.get("/{tenant}/discovery/keys")
@router.get("/{tenant}/discovery/v2.0/keys")
def keys(here: Here, tenant: str) -> Json:  # noqa: ARG001 - one tenant only
    """Return the public keys of the tokens."""
    return here.tokens.public_keys()
