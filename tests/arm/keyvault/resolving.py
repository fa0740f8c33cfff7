"""Every name below `localhost` is this machine, as RFC 6761 wants; not every resolver knows."""

import socket
from typing import Any

import pytest


@pytest.fixture
def localhost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = socket.getaddrinfo

    def answer(host: Any, *rest: Any, **options: Any) -> Any:  # as the standard library has it
        below = isinstance(host, str) and host.endswith(".localhost")
        return ask("127.0.0.1" if below else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
