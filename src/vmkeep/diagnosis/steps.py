"""What only a person can do in the guest, step by step for its distribution. Package names are the distributions' own."""

from collections.abc import Mapping
from enum import StrEnum


class Family(StrEnum):
    """Distributions that are looked after alike."""

    DEBIAN = "Debian"
    UBUNTU = "Ubuntu"
    RED_HAT = "Red Hat"
    SUSE = "SUSE"
    UNKNOWN = ""


_FAMILIES = {
    "Debian": Family.DEBIAN,
    "Ubuntu": Family.UBUNTU,
    "Fedora": Family.RED_HAT,
    "Red Hat": Family.RED_HAT,
    "CentOS": Family.RED_HAT,
    "AlmaLinux": Family.RED_HAT,
    "Rocky": Family.RED_HAT,
    "Oracle Linux": Family.RED_HAT,
    "SUSE": Family.SUSE,
    "openSUSE": Family.SUSE,
}
_REINSTALL_AND_LOOK = "python3 -c 'import azurelinuxagent.common.version'  # must say nothing"
_OPEN = "168.63.129.16, TCP 80 and 32526"
_STEPS: Mapping[str, Mapping[Family, tuple[str, ...]]] = {
    "A1": {
        Family.DEBIAN: ("apt-get update", "apt-get install waagent", "systemctl enable --now walinuxagent"),
        Family.UBUNTU: (
            "apt-get update",
            "apt-get install walinuxagent",
            "systemctl enable --now walinuxagent",
        ),
        Family.RED_HAT: ("dnf install WALinuxAgent", "systemctl enable --now waagent"),
        Family.SUSE: ("zypper install python-azure-agent", "systemctl enable --now waagent"),
    },
    "A4": {
        Family.DEBIAN: ("apt-get install --reinstall python3-minimal waagent", _REINSTALL_AND_LOOK),
        Family.UBUNTU: ("apt-get install --reinstall python3-minimal walinuxagent", _REINSTALL_AND_LOOK),
        Family.RED_HAT: ("dnf reinstall python3 WALinuxAgent", _REINSTALL_AND_LOOK),
        Family.SUSE: ("zypper install --force python3 python-azure-agent", _REINSTALL_AND_LOOK),
    },
    "A6": {
        Family.DEBIAN: ("df -h /", "journalctl --vacuum-size=100M", "apt-get clean"),
        Family.UBUNTU: ("df -h /", "journalctl --vacuum-size=100M", "apt-get clean"),
        Family.RED_HAT: ("df -h /", "journalctl --vacuum-size=100M", "dnf clean all"),
        Family.SUSE: ("df -h /", "journalctl --vacuum-size=100M", "zypper clean --all"),
        Family.UNKNOWN: (
            "df -h /",
            "journalctl --vacuum-size=100M",
            "mount -o remount,rw /  # if it is read-only",
        ),
    },
    "N3": {
        Family.DEBIAN: (
            f"nft list ruleset; iptables -S  # let {_OPEN} through",
            "ip route get 168.63.129.16",
        ),
        Family.UBUNTU: (f"ufw status  # let {_OPEN} out", "iptables -S OUTPUT", "ip route get 168.63.129.16"),
        Family.RED_HAT: (
            f"firewall-cmd --list-all; firewall-cmd --direct --get-all-rules  # let {_OPEN} out",
            "ip route get 168.63.129.16",
        ),
        Family.SUSE: (f"firewall-cmd --list-all  # let {_OPEN} out", "ip route get 168.63.129.16"),
    },
}


def family_of(distribution: str) -> Family:
    """Return the family of a distribution by what its os-release calls it, such as `Debian GNU/Linux 12 (bookworm)`."""
    return next(
        (family for name, family in _FAMILIES.items() if distribution.startswith(name)), Family.UNKNOWN
    )


def steps_for(cause_id: str, distribution: str | None) -> tuple[str, ...]:
    """Return the commands to run in the guest, as root and in order; none where the remedy says it all."""
    by_family = _STEPS.get(cause_id, {})
    return by_family.get(family_of(distribution or ""), by_family.get(Family.UNKNOWN, ()))
