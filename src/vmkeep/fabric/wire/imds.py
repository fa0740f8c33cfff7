"""Instance metadata: the few fields the agent reads (docs/formats/wire.md §8)."""

import ipaddress

from vmkeep.fabric.wire.identity import GuestIdentity


def compute(identity: GuestIdentity) -> dict[str, object]:
    """Return `/metadata/instance/compute`."""
    return {
        "location": "local",
        "name": identity.vm_name,
        "offer": "",
        "osType": "Linux",
        "placementGroupId": "",
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "publisher": "",
        "resourceGroupName": "vmkeep",
        "sku": "",
        "subscriptionId": "00000000-0000-0000-0000-000000000000",
        "tags": "",
        "version": "",
        "vmId": identity.role_guid,
        "vmSize": "local",
        "vmScaleSetName": "",
        "zone": "",
    }


def instance(identity: GuestIdentity) -> dict[str, object]:
    """Return `/metadata/instance`. The subnet is a /24 by convention; the agent does not read it."""
    subnet = ipaddress.ip_interface(f"{identity.ip}/24").network
    address = {"privateIpAddress": identity.ip, "publicIpAddress": ""}
    interface = {
        "macAddress": identity.mac.replace(":", "").upper(),
        "ipv4": {
            "ipAddress": [address],
            "subnet": [{"address": str(subnet.network_address), "prefix": str(subnet.prefixlen)}],
        },
        "ipv6": {"ipAddress": []},
    }
    return {"compute": compute(identity), "network": {"interface": [interface]}}
