"""Just enough of a wire server for the Azure agent to become ready once, while a guest is prepared to be saved.

The product's wire server is `vmkeep.fabric.wire`; this one knows one VM, no extensions and no certificates.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.machine import Identity
from tests.lab.network import METADATA, WIRE_SERVER

DOORS = ((WIRE_SERVER, 80), (WIRE_SERVER, 32526), (METADATA, 80))
CONFIG = f"http://{WIRE_SERVER}:80/config/"
VERSIONS = """<?xml version="1.0" encoding="utf-8"?><Versions><Preferred><Version>2012-11-30</Version></Preferred>
<Supported><Version>2012-11-30</Version></Supported></Versions>"""
GOAL_STATE = """<?xml version="1.0" encoding="utf-8"?><GoalState><Version>2012-11-30</Version>
<Incarnation>1</Incarnation><Machine><ExpectedState>Started</ExpectedState></Machine><Container>
<ContainerId>{vm.uuid}</ContainerId><RoleInstanceList><RoleInstance><InstanceId>_{vm.name}</InstanceId>
<State>Started</State><Configuration>
<HostingEnvironmentConfig>{config}hosting</HostingEnvironmentConfig><SharedConfig>{config}shared</SharedConfig>
<ExtensionsConfig>{config}extensions</ExtensionsConfig><ConfigName>lab.0.lab.0._{vm.name}.1.xml</ConfigName>
</Configuration></RoleInstance></RoleInstanceList></Container></GoalState>"""
HOSTING = """<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="1">
<Deployment name="lab" guid="{{{vm.uuid}}}" incarnation="0"/>
<Incarnation number="1" instance="_{vm.name}" guid="{{{vm.uuid}}}"/>
<Role guid="{{{vm.uuid}}}" name="_{vm.name}" hostingEnvironmentVersion="1"/></HostingEnvironmentConfig>"""
SHARED = """<SharedConfig version="1.0.0.0" goalStateIncarnation="1"/>"""
EXTENSIONS = """<?xml version="1.0" encoding="utf-8"?><Extensions version="1.0.0.0" goalStateIncarnation="1">
<GuestAgentExtension><GAFamilies/></GuestAgentExtension>
<StatusUploadBlob statusBlobType="BlockBlob">{config}status</StatusUploadBlob><Plugins/><PluginSettings/>
<InVMGoalStateMetaData inSvdSeqNo="1" createdOnTicks="1" activityId="{vm.uuid}" correlationId="{vm.uuid}"/>
</Extensions>"""


def answers_for(vm: Identity) -> dict[str, str]:
    """Return what to answer the agent in `vm`, by the start of the path; longer paths come first."""
    compute = {"location": "local", "name": vm.name, "osType": "Linux", "vmId": vm.uuid, "tags": ""}
    address = {
        "ipAddress": [{"privateIpAddress": vm.ip}],
        "subnet": [{"address": "10.77.0.0", "prefix": "24"}],
    }
    interface = {"macAddress": vm.mac.replace(":", ""), "ipv4": address, "ipv6": {"ipAddress": []}}
    instance = {"compute": compute, "network": {"interface": [interface]}}
    texts = {
        "/?comp=versions": VERSIONS,
        "/machine/?comp=goalstate": GOAL_STATE,
        "/config/hosting": HOSTING,
        "/config/shared": SHARED,
        "/config/extensions": EXTENSIONS,
        "/versions": '["2015-09-01"]',
        "/health": "",
    }
    return {path: text.format(vm=vm, config=CONFIG) for path, text in texts.items()} | {
        "/metadata/instance/compute": json.dumps(compute),
        "/metadata/instance": json.dumps(instance),
    }


@contextmanager
def boot_wire(vm: Identity) -> Iterator[threading.Event]:
    """Answer the agent in `vm`; the event is set when the agent reports its status, that is: is ready."""
    ready = threading.Event()
    answers = answers_for(vm)

    class Handler(BaseHTTPRequestHandler):
        def reply(self, code: int, text: str = "") -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            known = [text for start, text in answers.items() if self.path.startswith(start)]
            self.reply(*((200, known[0]) if known else (404,)))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(202 if "roleProperties" in self.path else 200)

        def do_PUT(self) -> None:
            self.do_POST()
            if self.path == "/status":
                ready.set()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ExitStack() as doors:
        for door in DOORS:
            server = doors.enter_context(ThreadingHTTPServer(door, Handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            doors.callback(server.shutdown)
        yield ready
