"""Which request gets which answer: the table of docs/formats/wire.md §3, §6, §7 and §8."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vmkeep.fabric.wire.answers import GONE, MANIFEST_PATH, PACKAGE_PATH, Answer, Answers, Call
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.http import Head
from vmkeep.fabric.wire.limits import LOG_BODY, SMALL_BODY, STATUS_BODY, TELEMETRY_BODY, BodyRule
from vmkeep.fabric.wire.report import Signal


class Service(StrEnum):
    """Which of the three addresses was asked."""

    WIRE = "wire"
    PLUGIN = "plugin"
    IMDS = "imds"


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. A group `container` in `path` must match the VM's own container id."""

    service: Service
    method: str
    path: str
    handler: Callable[[Answers, Call], Answer]
    signal: Signal
    query: Mapping[str, str] = field(default_factory=dict)
    body: BodyRule = SMALL_BODY

    def match(self, service: Service, head: Head) -> re.Match[str] | None:
        """Return the path's match when this route serves the request."""
        if service is not self.service or head.method != self.method:
            return None
        if any(head.query.get(name) != value for name, value in self.query.items()):
            return None
        return re.fullmatch(self.path, head.path)


_CONFIG = r"/machine/(?P<container>[^/]+)/[^/]+"
_METADATA = r"/metadata/instance(/compute)?/?"
_SNAPSHOT = "/metadata/recsvc/snapshot/"
_W, _P, _I, _S = Service.WIRE, Service.PLUGIN, Service.IMDS, Signal


def _config(kind: str) -> dict[str, str]:
    return {"comp": "config", "type": kind}


def _comp(kind: str) -> dict[str, str]:
    return {"comp": kind}


# fmt: off
ROUTES = (
    Route(_W, "GET", "/", Answers.versions, _S.GOAL_STATE, _comp("versions")),
    Route(_W, "GET", "/machine/?", Answers.goal_state, _S.GOAL_STATE, _comp("goalstate")),
    Route(
        _W, "GET", _CONFIG, Answers.hosting_environment, _S.GOAL_STATE, _config("hostingEnvironmentConfig")
    ),
    Route(_W, "GET", _CONFIG, Answers.shared_config, _S.GOAL_STATE, _config("sharedConfig")),
    Route(_W, "GET", _CONFIG, Answers.certificates, _S.CERTIFICATES, _config("certificates")),
    Route(_W, "GET", _CONFIG, Answers.extensions_config, _S.EXTENSIONS_CONFIG, _config("extensionsConfig")),
    Route(_W, "POST", "/machine/?", Answers.accepted, _S.STARTED, _comp("health")),
    Route(_W, "POST", "/machine/?", Answers.role_properties, _S.STARTED, _comp("roleProperties")),
    Route(_W, "POST", "/machine/?", Answers.accepted, _S.TELEMETRY, _comp("telemetrydata"), TELEMETRY_BODY),
    Route(_W, "POST", "/HealthService", Answers.accepted, _S.HEALTH_SERVICE),
    Route(_W, "GET", MANIFEST_PATH, Answers.manifest, _S.MANIFEST),
    Route(_W, "GET", PACKAGE_PATH, Answers.package, _S.PACKAGE),
    Route(
        _W, "PUT", "/status/(?P<container>[^/]+)", Answers.status_direct, _S.STATUS_DIRECT, {}, STATUS_BODY
    ),
    Route(_W, "POST", _SNAPSHOT + "presnapshot", Answers.presnapshot, _S.SNAPSHOT_CALL),
    Route(_W, "POST", _SNAPSHOT + "dosnapshot", Answers.dosnapshot, _S.SNAPSHOT_CALL),
    Route(_W, "POST", _SNAPSHOT + "postsnapshot", Answers.postsnapshot, _S.SNAPSHOT_CALL),
    Route(_W, "GET", _METADATA, Answers.metadata, _S.IMDS_ON_WIRE_SERVER),
    Route(_I, "GET", _METADATA, Answers.metadata, _S.IMDS),
    Route(_P, "GET", "/versions", Answers.plugin_versions, _S.PLUGIN),
    Route(_P, "GET", "/health", Answers.accepted, _S.PLUGIN),
    Route(_P, "GET", "/vmSettings", Answers.plugin_settings, _S.PLUGIN),
    Route(_P, "GET", "/extensionArtifact", Answers.extension_artifact, _S.PLUGIN),
    Route(_P, "PUT", "/status", Answers.status, _S.STATUS, {}, STATUS_BODY),
    Route(_P, "PUT", "/vmAgentLog", Answers.accepted, _S.PLUGIN, {}, LOG_BODY),
)
# fmt: on


def find_route(service: Service, head: Head, container_id: str) -> Route:
    """Return the route of a request by the VM with this container id. Raises RequestRefused (404, 410)."""
    for route in ROUTES:
        match = route.match(service, head)
        if match is not None:
            claimed = match.groupdict().get("container") or head.headers.get("x-ms-containerid", container_id)
            if claimed.lower() != container_id:
                raise RequestRefused(status=GONE, why="the request is for another container")
            return route
    raise RequestRefused(status=404, why="no such route")
