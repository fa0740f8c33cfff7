"""The sockets of one bridge."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from vmkeep.base.units import KIB
from vmkeep.fabric.wire.errors import ListenFailed
from vmkeep.fabric.wire.routes import Service

BACKLOG = 128
KERNEL_BUFFER = 128 * KIB
"""Per connection and direction; accepted sockets inherit it."""
IP_FREEBIND = 15
"""linux/in.h; Python has no name for it. The addresses may be put on the bridge later."""

ADDRESSES: Mapping[Service, tuple[str, int]] = {
    Service.WIRE: ("168.63.129.16", 80),
    Service.PLUGIN: ("168.63.129.16", 32526),
    Service.IMDS: ("169.254.169.254", 80),
}


@dataclass(frozen=True, slots=True)
class Listener:
    """The open sockets of one bridge. `interface` is the kernel's index: a bridge made anew has another."""

    bridge: str
    interface: int
    sockets: Mapping[Service, socket.socket]

    def close(self) -> None:
        """Stop listening."""
        for listening in self.sockets.values():
            listening.close()


def interface_index(bridge: str) -> int:
    """Return the kernel's index of `bridge`. Raises ListenFailed."""
    try:
        return socket.if_nametoindex(bridge)
    except OSError as error:
        address, port = ADDRESSES[Service.WIRE]
        raise ListenFailed(bridge=bridge, address=address, port=port, why="no such interface") from error


def open_on_bridge(bridge: str) -> Listener:
    """Open all addresses on `bridge` and no other interface. Raises ListenFailed."""
    return Listener(bridge, interface_index(bridge), _open_all(bridge, ADDRESSES, bound=True))


def open_on_address(bridge: str, address: str) -> Listener:
    """Open free ports of a local address, whose guests are said to be on `bridge`. Raises ListenFailed."""
    return Listener(bridge, 0, _open_all(bridge, dict.fromkeys(Service, (address, 0)), bound=False))


def _open_all(
    bridge: str, addresses: Mapping[Service, tuple[str, int]], *, bound: bool
) -> Mapping[Service, socket.socket]:
    with ExitStack() as opened:
        sockets = {}
        for service, (address, port) in addresses.items():
            listening = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                _listen(listening, (address, port), bridge if bound else "")
            except OSError as error:
                why = error.strerror or repr(error)
                raise ListenFailed(bridge=bridge, address=address, port=port, why=why) from error
            sockets[service] = listening
        opened.pop_all()
        return sockets


def _listen(listening: socket.socket, address: tuple[str, int], bridge: str) -> None:
    listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    if bridge:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode() + b"\0")
        listening.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    listening.bind(address)
    listening.listen(BACKLOG)
