"""The key vaults' own API, put together."""

from fastapi import FastAPI

from vmkeep.arm.keyvault import entry_routes, envelope, key_routes, secret_routes
from vmkeep.arm.service import Service
from vmkeep.base.units import MIB

_MAX_BODY_BYTES = 1 * MIB


def make_data_plane(service: Service) -> FastAPI:
    """Return the API that every key vault has at its own host name."""
    app = FastAPI(
        title="vmkeep key vaults",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        max_body_size=_MAX_BODY_BYTES,
    )
    app.state.service = service
    for router in (entry_routes.router, key_routes.router, secret_routes.router):
        app.include_router(router)
    envelope.install(app)
    return app
