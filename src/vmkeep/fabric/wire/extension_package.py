"""Packs our VMSnapshot extension for the agent: a zip with its manifest at the root."""

import json
import zipfile
from pathlib import Path

HANDLER_NAME = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
"""Azure's own name: what speaks to that extension speaks to ours."""
HANDLER_VERSION = "9.1.0.0"
"""Our own line of versions; the agent installs anew when it changes."""

_COMMANDS = ("install", "enable", "disable", "update", "uninstall")
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE = 0o100755 << 16


def build_package(target: Path, version: str = HANDLER_VERSION) -> Path:
    """Write the extension's zip to `target` and return it. The same sources give the same bytes."""
    sources = _sources()
    contents = {
        path.relative_to(sources).as_posix(): path.read_bytes()
        for path in sources.rglob("*")
        if path.suffix in {".py", ".sh"}
    }
    contents["HandlerManifest.json"] = json.dumps(_manifest(version), indent=1).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, _NO_DATE)
            entry.external_attr = _EXECUTABLE
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, contents[name])
    return target


def _manifest(version: str) -> list[dict[str, object]]:
    """Return what the agent reads first: which command line to run in the extension's folder for what."""
    lines: dict[str, object] = {f"{command}Command": f"handle.sh {command}" for command in _COMMANDS}
    rest: dict[str, object] = {
        "rebootAfterInstall": False,
        "reportHeartbeat": False,
        "updateMode": "UpdateWithInstall",
        "continueOnUpdateFailure": False,
        "supportsMultipleExtensions": False,
    }
    return [{"name": HANDLER_NAME, "version": version, "handlerManifest": lines | rest}]


def _sources() -> Path:
    """Return the extension's sources: in a wheel beside this module, in a checkout where they are written."""
    packed = Path(__file__).with_name("guest_files")
    return packed if packed.is_dir() else Path(__file__).parents[4] / "guest" / "src"
