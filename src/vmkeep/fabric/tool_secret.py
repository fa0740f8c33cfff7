"""Hands a disk's passphrase to one of QEMU's tools: in memory, never on a command line, never in a file of a disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NAME = "disk-key"
"""What the tool's description of an image calls the secret."""


@dataclass(frozen=True, slots=True)
class ToolSecret:
    """What to add to a tool's call: `arguments`, and the descriptors that it inherits."""

    arguments: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()


@contextmanager
def tool_secret(passphrase: str | None) -> Iterator[ToolSecret]:
    """Hold a passphrase for a tool that is started within the block; nothing to add for None."""
    if passphrase is None:
        yield ToolSecret()
        return
    descriptor = os.memfd_create("vmkeep-disk-key")
    try:
        os.write(descriptor, passphrase.encode())
        yield ToolSecret(
            ("--object", f"secret,id={NAME},file=/proc/self/fd/{descriptor}"), descriptors=(descriptor,)
        )
    finally:
        os.close(descriptor)
