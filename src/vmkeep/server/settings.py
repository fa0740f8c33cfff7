"""Every setting of `vmkeep up`. Documented in docs/configuration.md (a test compares)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

DEFAULT_STATE_DIR = Path("/var/lib/vmkeep")


@dataclass(frozen=True, slots=True)
class Settings:
    """How this installation runs."""

    state_dir: Annotated[Path, "Folder for catalog, keys, certificates and local repositories."] = (
        DEFAULT_STATE_DIR
    )
    listen: Annotated[str, "Address the API listens on."] = "127.0.0.1"
    port: Annotated[int, "TCP port the API listens on; 0 picks a free one."] = 8443
    host_names: Annotated[str, "More names or addresses for the certificate, separated by commas."] = ""
    libvirt_uri: Annotated[str, "The hypervisor to protect."] = "qemu:///system"
    resource_group: Annotated[str, "Resource group that this host's VMs appear in."] = "local"
    location: Annotated[str, "The one ARM location of this service."] = "local"
    repository: Annotated[
        str, "Where new vaults store data: a folder or s3:// URL; empty means below state_dir."
    ] = ""
    passphrase_file: Annotated[
        str,
        "File with the passphrase that seals master.key; empty: the key is protected by its file's mode only.",
    ] = ""
    restore_dir: Annotated[
        str, "Folder for disks of restored VMs; empty means restored/ below state_dir."
    ] = ""
    schedules: Annotated[bool, "Whether backups and upkeep start by themselves when policies say so."] = True
    transfers: Annotated[int, "How many transfers to or from vaults may run at once."] = 2
    freeze_limit_s: Annotated[float, "Seconds after which the host thaws a guest that is still frozen."] = (
        10.0
    )
    merge_mib_s: Annotated[
        int, "MiB per second at which layers are merged under a running VM; 0 is without limit."
    ] = 32
    collection_delete_s: Annotated[
        float, "Seconds one deletion of a restore point collection may take; the next one goes on."
    ] = 600.0
    disk_limit_gb: Annotated[
        int, "Largest disk that is backed up, in GB; 4095 as Azure Backup once had it, up to 65536 (64 TB)."
    ] = 4095
    token_lifetime_s: Annotated[int, "Seconds an access token is valid."] = 3600
    log_format: Annotated[str, "console, json, or auto: console on a terminal, json elsewhere."] = "auto"
    log_level: Annotated[str, "debug, info, warning or error."] = "info"
