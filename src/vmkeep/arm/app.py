"""Puts the API together: routes, and round them paths, tokens and request ids."""

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from vmkeep.arm import envelope
from vmkeep.arm.authorization import locks
from vmkeep.arm.authorization.lock_guard import refuse_locked
from vmkeep.arm.compute import collections, diagnosis, disk_keys, machines
from vmkeep.arm.correlation import Correlation
from vmkeep.arm.identity import discovery, token_endpoint
from vmkeep.arm.identity.guard import TokenGuard
from vmkeep.arm.keyvault import vaults as key_vaults
from vmkeep.arm.keyvault.data_plane import make_data_plane
from vmkeep.arm.keyvault.hosts import Challenge, KeyVaultHosts
from vmkeep.arm.paths import PathNormaliser, literals_of
from vmkeep.arm.recoveryservices import (
    backup_status,
    containers,
    diagnoses,
    encryption,
    items,
    jobs,
    operation_routes,
    policies,
    preflight,
    recovery_points,
    restores,
    vault_config,
    vaults,
    vmkeep_repository,
)
from vmkeep.arm.resources import inventory, subscriptions
from vmkeep.arm.service import Service
from vmkeep.arm.vmkeepfabric import networks
from vmkeep.base.units import MIB

MAX_BODY_BYTES = 1 * MIB
ROUTERS: tuple[APIRouter, ...] = (
    discovery.router,
    token_endpoint.router,
    subscriptions.router,
    inventory.router,
    locks.router,
    machines.router,
    disk_keys.router,
    collections.router,
    diagnosis.router,
    networks.router,
    key_vaults.router,
    vaults.router,
    policies.router,
    containers.router,
    items.router,
    jobs.router,
    diagnoses.router,
    operation_routes.router,
    recovery_points.router,
    restores.router,
    backup_status.router,
    preflight.router,
    vault_config.router,
    encryption.router,
    vmkeep_repository.router,
)


def routes_app() -> FastAPI:
    """Return the routes alone, without service and guards."""
    app = FastAPI(
        title="vmkeep",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        max_body_size=MAX_BODY_BYTES,
        dependencies=[Depends(refuse_locked)],
    )
    for router in ROUTERS:
        app.include_router(router)
    envelope.install(app)
    return app


def make_app(service: Service) -> ASGIApp:
    """Return the whole API over the parts in `service`."""
    app = routes_app()
    app.state.service = service
    guarded = TokenGuard(app, service.tokens)
    templates = (route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
    arm = PathNormaliser(guarded, literals_of(templates))
    key_vault_api = Challenge(make_data_plane(service), service.tokens)
    return Correlation(KeyVaultHosts(arm, key_vault_api), service.clock)
