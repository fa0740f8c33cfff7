"""Causes that only a Windows guest can have. Data: no look of ours reaches them, so they are not in the judged tree."""

from vmkeep.diagnosis.cause import Cause, not_observable

_NOT_PROVABLE_HERE = not_observable("a look into a Windows guest")


def _leaf(number: int, title: str, remedy: str) -> Cause:
    return Cause(f"W{number}", title, remedy, _NOT_PROVABLE_HERE)


LEAVES = (
    _leaf(
        1,
        "the Windows agent is stopped, hangs or is not installed",
        "Restart the services WindowsAzureGuestAgent and RdAgent; if they are not there or do not start, install the agent's MSI anew.",
    ),
    _leaf(2, "the .NET Framework is older than 4.5", "Install .NET 4.5 or newer, then restart the agent."),
    _leaf(
        3,
        "a VSS writer is in a bad state",
        "Restart the service behind each writer that vssadmin list writers does not show as stable.",
    ),
    _leaf(4, "the Volume Shadow Copy service does not run", "Start the service VSS, or restart the VM."),
    _leaf(
        5,
        "COM+ or the Distributed Transaction Coordinator does not run",
        "Start COMSysApp and MSDTC; if MSDTC does not start, msdtc -uninstall, msdtc -install, and start it.",
    ),
    _leaf(
        6,
        "the snapshot provider is disabled, or its library does not fit this Windows",
        "Set the service IaasVmProvider to automatic and register its library anew with regsvr32.",
    ),
    _leaf(
        7,
        "the Visual C++ redistributable cannot be installed",
        "Let the Windows Installer start (Start=3 of its service msiserver), then install the redistributable by hand.",
    ),
    _leaf(
        8,
        "the machine's keys cannot be read",
        "Give SYSTEM and the administrators back their rights on MachineKeys, delete the agent's certificate, restart the agent.",
    ),
    _leaf(
        9,
        "AppLocker or a virus scanner blocks the extension",
        "Exempt C:\\Packages\\Plugins and C:\\WindowsAzure.",
    ),
    _leaf(10, "a drive is locked by BitLocker", "Unlock it: manage-bde -unlock."),
    _leaf(
        11,
        "strong cryptography is off, so that no secure channel comes about",
        "Set SchUseStrongCrypto=1 for .NET, 32 and 64 bit, and restart the agent.",
    ),
    _leaf(
        12,
        "another product's VSS full backups and these disturb each other",
        "Let one of them make copy backups: USEVSSCOPYBACKUP for Azure's extension.",
    ),
)
