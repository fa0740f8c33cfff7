"""The extension's zip, as every guest downloads it."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from vmkeep.fabric.wire.errors import PackageUnreadable
from vmkeep.fabric.wire.goal_state import ExtensionName
from vmkeep.fabric.wire.guest_json import find

MANIFEST = "HandlerManifest.json"


@dataclass(frozen=True, slots=True)
class ExtensionPackage:
    """A zip in memory, and the name and version it declares."""

    name: ExtensionName
    content: bytes

    @classmethod
    def load(cls, path: Path) -> "ExtensionPackage":
        """Read the package at `path`. Raises PackageUnreadable."""
        try:
            content = path.read_bytes()
            with zipfile.ZipFile(path) as package:
                manifest: object = json.loads(package.read(MANIFEST))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise PackageUnreadable(path=str(path), why=str(error)) from error
        name, version = find(manifest, 0, "name"), find(manifest, 0, "version")
        if not isinstance(name, str) or not isinstance(version, str):
            raise PackageUnreadable(path=str(path), why=f"{MANIFEST} has no name and version")
        return cls(ExtensionName(name, str(version)), content)
