"""The connection to libvirt: made when needed, kept alive, made again when libvirtd was restarted."""

import difflib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.errors import HypervisorRefused, HypervisorUnreachable, VmNotFound, VmVanished

log = structlog.get_logger()

Connection = Any  # libvirt ships no types
Domain = Any  # libvirt ships no types

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 4
LOOK_S = 0.5


@cache
def _run_event_loop() -> None:
    """Start libvirt's event loop, once per process: it answers and sends keepalives."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised, not printed
    libvirt.virEventRegisterDefaultImpl()

    def forever() -> None:
        while True:
            with suppress(libvirt.libvirtError):
                libvirt.virEventRunDefaultImpl()

    threading.Thread(target=forever, name="libvirt-events", daemon=True).start()


@contextmanager
def translated(action: str, *, vm_uuid: str = "") -> Iterator[None]:
    """Turn libvirt's errors into ours; `action` completes 'libvirt refused to …'.

    Raises HypervisorUnreachable, VmVanished, HypervisorRefused.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        raise translate(error, action, vm_uuid=vm_uuid) from error


def translate(
    error: libvirt.libvirtError, action: str, *, vm_uuid: str = ""
) -> HypervisorUnreachable | VmVanished | HypervisorRefused:
    """Return our error for one of libvirt's."""
    message = error.get_error_message() or str(error)
    if _lost_connection(error):
        return HypervisorUnreachable("this host", message)
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return VmVanished(vm_uuid)
    return HypervisorRefused(action, message)


def _lost_connection(error: libvirt.libvirtError) -> bool:
    code, domain = error.get_error_code(), error.get_error_domain()
    return (
        code in {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN}
        or domain in {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
        or (code == libvirt.VIR_ERR_INTERNAL_ERROR and "client socket is closed" in str(error))
    )


class Host:
    """This host's libvirt. May be used from any thread."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection: Connection = None
        self._connecting = threading.Lock()

    def connection(self) -> Connection:
        """Return a live connection. Raises HypervisorUnreachable."""
        with self._connecting:
            if self._connection is None or not self._is_alive():
                self._connection = self._connect()
            return self._connection

    def wait_until_reachable(self, clock: Clock, limit_s: float) -> None:
        """Return when libvirt answers, or after `limit_s`: it may only be restarting."""
        end = clock.monotonic() + limit_s
        while clock.monotonic() < end:
            with suppress(HypervisorUnreachable):
                self.connection()
                return
            clock.sleep(LOOK_S)

    def find_domain(self, vm_uuid: str) -> Domain | None:
        """Return the VM's libvirt domain, or None when it is not defined. Raises HypervisorUnreachable."""
        try:
            return self.get_domain(vm_uuid)
        except VmVanished:
            return None

    def get_domain(self, vm_uuid: str) -> Domain:
        """Return the VM's libvirt domain. Raises VmVanished, HypervisorUnreachable."""
        with translated("look the VM up", vm_uuid=vm_uuid):
            return self.connection().lookupByUUIDString(vm_uuid)

    def resolve(self, name_or_uuid: str) -> Domain:
        """Return the domain with that name or UUID. Raises VmNotFound, HypervisorUnreachable."""
        domains = self.list_domains()
        for domain in domains:
            if name_or_uuid in {domain.name(), domain.UUIDString()}:
                return domain
        names = [domain.name() for domain in domains]
        raise VmNotFound(name_or_uuid, tuple(difflib.get_close_matches(name_or_uuid, names)))

    def list_domains(self, *, running: bool = False) -> list[Domain]:
        """Return the domains of this host, only the running ones if asked. Raises HypervisorUnreachable."""
        flags = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE if running else 0
        with translated("list the VMs"):
            return list(self.connection().listAllDomains(flags))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._connecting, suppress(libvirt.libvirtError):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _is_alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _connect(self) -> Connection:
        _run_event_loop()
        try:
            connection = libvirt.open(self.uri)
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            raise HypervisorUnreachable(self.uri, error.get_error_message() or str(error)) from error
        log.info("fabric.host.connected", uri=self.uri)
        return connection
