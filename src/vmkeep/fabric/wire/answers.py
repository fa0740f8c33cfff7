"""The answers to what agents ask (docs/formats/wire.md §3, §6, §7, §8). Plain functions; they may block a moment."""

import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vmkeep.base.clock import Clock
from vmkeep.fabric.wire import certificates, goal_state, imds, snapshot_api
from vmkeep.fabric.wire.agents import Agent
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.http import Head, Response
from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.package import ExtensionPackage
from vmkeep.fabric.wire.status import read_status, read_upload
from vmkeep.fabric.wire.tasks import CaptureAnswer, SnapshotTask

XML = "text/xml; charset=utf-8"
JSON = "application/json"
ZIP = "application/zip"
PLUGIN_VERSIONS = ["2015-09-01"]
MANIFEST_PATH = "/extension/manifest.xml"
PACKAGE_PATH = "/extension/package.zip"
GONE = 410
"""Makes an agent fetch its goal state again and retry."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a VM whose position is known."""

    head: Head
    body: bytes = field(repr=False)
    agent: Agent
    identity: GuestIdentity


@dataclass(frozen=True, slots=True)
class CapturePending:
    """An answer that waits for the disks to be captured."""

    task: SnapshotTask
    answer: CaptureAnswer


Answer = Response | CapturePending


class Answers:
    """The handlers and what they share. All may raise RequestRefused."""

    def __init__(self, package: ExtensionPackage, clock: Clock) -> None:
        self._package = package
        self._clock = clock

    def versions(self, _call: Call) -> Response:
        """Answer which protocol versions are spoken."""
        return _xml(goal_state.VERSIONS_DOCUMENT)

    def goal_state(self, call: Call) -> Response:
        """Answer with the goal state; a running task learns that it was seen."""
        incarnation, task = call.agent.goal.incarnation, call.agent.task
        if task is not None and task.incarnation == incarnation:
            task.goal_state_fetched()
        return _xml(goal_state.goal_state_document(call.identity, call.agent.container_id, incarnation))

    def hosting_environment(self, call: Call) -> Response:
        """Answer who the VM is."""
        incarnation, container_id = call.agent.goal.incarnation, call.agent.container_id
        return _xml(goal_state.hosting_environment_document(call.identity, container_id, incarnation))

    def shared_config(self, call: Call) -> Response:
        """Answer with an empty document."""
        return _xml(goal_state.shared_config_document(call.agent.goal.incarnation))

    def certificates(self, call: Call) -> Response:
        """Answer with the tenant key, sealed for the certificate in the request."""
        header = call.head.headers.get("x-ms-guest-agent-public-x509-cert", "")
        guest_certificate = certificates.read_guest_certificate(header)
        envelope = call.agent.tenant.envelope_for(guest_certificate)
        return _xml(certificates.certificates_document(call.agent.goal.incarnation, envelope))

    def extensions_config(self, call: Call) -> Response:
        """Answer what the extension has to do; a running task learns that it was taken up."""
        agent = call.agent
        goal, task = agent.goal, agent.task
        if task is not None and task.incarnation == goal.incarnation:
            task.settings_fetched()
        extension, now = self._package.name, self._clock.now()
        return _xml(goal_state.extensions_config_document(goal, agent.container_id, extension, now))

    def accepted(self, _call: Call) -> Response:
        """Answer 200 to what only had to be heard."""
        return Response()

    def role_properties(self, _call: Call) -> Response:
        """Answer 202, as the agent demands."""
        return Response(202)

    def metadata(self, call: Call) -> Response:
        """Answer with instance metadata."""
        compute_only = call.head.path.rstrip("/").endswith("/compute")
        return _json(imds.compute(call.identity) if compute_only else imds.instance(call.identity))

    def manifest(self, _call: Call) -> Response:
        """Answer where the extension's package is."""
        return _xml(goal_state.manifest_document(self._package.name))

    def package(self, _call: Call) -> Response:
        """Answer with the extension's package."""
        return Response(body=self._package.content, content_type=ZIP)

    def status_direct(self, call: Call) -> Response:
        """Take a status that came past the host plugin; 201, as the agent demands."""
        call.agent.heard(read_status(call.body))
        return Response(201)

    def status(self, call: Call) -> Response:
        """Take a status."""
        url, blob = read_upload(call.body)
        if url != goal_state.status_url(call.agent.container_id):
            raise RequestRefused(status=GONE, why="the status is for another container")
        call.agent.heard(read_status(blob))
        return Response()

    def plugin_versions(self, _call: Call) -> Response:
        """Answer which host plugin API is spoken."""
        return _json(PLUGIN_VERSIONS)

    def plugin_settings(self, _call: Call) -> Response:
        """Answer 404: goal states come from the wire server only."""
        return Response(404)

    def extension_artifact(self, call: Call) -> Response:
        """Answer with the file that the agent could not download directly."""
        path = urlsplit(call.head.headers.get("x-ms-artifact-location", "")).path
        if path == MANIFEST_PATH:
            return self.manifest(call)
        if path == PACKAGE_PATH:
            return self.package(call)
        return Response(404)

    def presnapshot(self, call: Call) -> Response:
        """Answer with the host's time."""
        reply = snapshot_api.presnapshot(call.agent, call.body, self._clock.now())
        return Response(body=reply, content_type=JSON)

    def dosnapshot(self, call: Call) -> CapturePending:
        """Start the capture; the answer waits for it."""
        return CapturePending(*snapshot_api.dosnapshot(call.agent, call.body))

    def postsnapshot(self, call: Call) -> Response:
        """Take note of the thaw."""
        snapshot_api.postsnapshot(call.agent, call.body)
        return _json({"result": "Success"})


def _xml(document: str) -> Response:
    return Response(body=document.encode(), content_type=XML)


def _json(value: object) -> Response:
    return Response(body=json.dumps(value).encode(), content_type=JSON)
