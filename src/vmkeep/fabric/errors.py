"""What can go wrong between us and the hypervisor, its disks and its guests."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class HypervisorUnreachable(VmkeepError):
    """libvirt does not answer; the next call tries again."""

    retry = Retry.LATER
    text = "libvirt at {e.uri} does not answer: {e.message}"
    remedy = "Start libvirtd on this host and see that this service may use its socket."
    uri: str
    message: str


@dataclass(eq=False)
class HypervisorRefused(VmkeepError):
    """libvirt or QEMU answered no."""

    retry = Retry.LATER
    text = "libvirt refused to {e.action}: {e.message}"
    remedy = "Read libvirt's own words above; the VM's log is in /var/log/libvirt/qemu."
    action: str
    message: str


@dataclass(eq=False)
class VmNotFound(VmkeepError):
    """No VM of this host has that name or UUID."""

    retry = Retry.AFTER_CHANGE
    text = "no VM '{e.name}' on this host{e.hint}"
    remedy = "Use a name or UUID that `virsh list --all` shows."
    name: str
    close: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """Return the names that look alike, as the end of a sentence."""
        return f"; did you mean {' or '.join(self.close)}?" if self.close else ""


@dataclass(eq=False)
class VmVanished(VmkeepError):
    """The VM was deleted while we worked on it."""

    text = "VM {e.vm_uuid} is no longer defined on this host"
    remedy = "If the VM was deleted on purpose, stop its protection; its recovery points stay."
    vm_uuid: str


@dataclass(eq=False)
class VmNotInDesirableState(VmkeepError):
    """The VM is neither running nor off."""

    code = "UserErrorVmNotInDesirableState"
    retry = Retry.AFTER_CHANGE
    text = (
        "VM is not in a state that allows backups. VM '{e.vm}' is {e.state}; it must be running or shut off"
    )
    remedy = "Resume the VM or shut it down, then start the backup again."
    vm: str
    state: str


@dataclass(eq=False)
class VmSaved(VmkeepError):
    """The VM's memory was saved to disk together with the names of its layers, which must therefore stay."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' is saved to disk (managed save), so its layers cannot be merged"
    remedy = "Start the VM, or drop the saved memory with `virsh managedsave-remove {e.vm}`."
    vm: str


@dataclass(eq=False)
class NoDiskToCapture(VmkeepError):
    """The VM has no disk that a layer can be put on."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' has no disk that can be captured ({e.excluded})"
    remedy = "Give the VM a writable qcow2 or raw image file as a disk."
    vm: str
    excluded: str


@dataclass(eq=False)
class DiskVanished(VmkeepError):
    """A file of a disk's chain is not there."""

    retry = Retry.AFTER_CHANGE
    text = "disk file {e.path}{e.of_disk} does not exist"
    remedy = "Put the file back, or restore the VM from its latest recovery point."
    path: str
    disk: str = ""

    @property
    def of_disk(self) -> str:
        """Return the name of the disk, if it is known."""
        return f" ({self.disk})" if self.disk else ""


@dataclass(eq=False)
class ImageUnreadable(VmkeepError):
    """An image file is there, but QEMU's tools cannot make sense of it."""

    text = "cannot read the image {e.path}: {e.message}"
    remedy = "Run `qemu-img check` on the file."
    path: str
    message: str


@dataclass(eq=False)
class LayerPathTaken(VmkeepError):
    """A file already has the name that a new layer needs."""

    retry = Retry.AFTER_CHANGE
    text = "cannot put a layer at {e.path}: a file with this name exists and no restore point owns it"
    remedy = "Look at the file, then move it away or delete it."
    path: str


@dataclass(eq=False)
class HostStorageFull(VmkeepError):
    """There is no room for new layers beside a disk."""

    retry = Retry.AFTER_CHANGE
    text = "cannot put a layer in {e.directory}: {e.free_bytes} bytes are free, {e.needed_bytes} are needed"
    remedy = "Free space there: the guest's own writes would soon stop too."
    directory: str
    needed_bytes: int
    free_bytes: int


@dataclass(eq=False)
class TargetFull(VmkeepError):
    """A disk being written does not fit."""

    retry = Retry.AFTER_CHANGE
    text = "no room to write {e.path}: {e.needed_bytes} bytes more are needed, {e.free_bytes} are free"
    remedy = "Free space in that folder or restore to another one."
    path: str
    needed_bytes: int
    free_bytes: int


@dataclass(eq=False)
class DiskFileTaken(VmkeepError):
    """A disk to be created would overwrite a file."""

    retry = Retry.AFTER_CHANGE
    text = "cannot create the disk {e.path}: the file exists"
    remedy = "Choose another place, or remove the file if nothing needs it."
    path: str


@dataclass(eq=False)
class DiskIoFailed(VmkeepError):
    """Reading or writing a disk through qemu-nbd failed."""

    retry = Retry.LATER
    text = "cannot {e.action} {e.path}: {e.message}"
    remedy = "Look at the host's storage and kernel log."
    action: str
    path: str
    message: str


@dataclass(eq=False)
class DiskBusy(VmkeepError):
    """Another block job runs on the disk."""

    retry = Retry.LATER
    text = "disk {e.disk} of VM '{e.vm}' is busy with another block job ({e.job})"
    remedy = "Wait for the job to end (`virsh blockjob {e.vm} {e.disk}`)."
    vm: str
    disk: str
    job: str


@dataclass(eq=False)
class WorkCancelled(VmkeepError):
    """The user cancelled; what was begun has been undone."""

    text = "{e.work} of VM '{e.vm}' was cancelled"
    work: str
    vm: str


@dataclass(eq=False)
class GuestAgentSilent(VmkeepError):
    """qemu-guest-agent does not answer."""

    retry = Retry.LATER
    text = "qemu-guest-agent of VM '{e.vm}' did not answer {e.command}: {e.message}"
    remedy = "Install or restart qemu-guest-agent in the guest and see that the VM has its virtio channel."
    vm: str
    command: str
    message: str


@dataclass(eq=False)
class GuestAgentRefused(VmkeepError):
    """qemu-guest-agent answered with an error."""

    retry = Retry.AFTER_CHANGE
    text = "qemu-guest-agent of VM '{e.vm}' refused {e.command}: {e.message}"
    remedy = "Allow the command in the guest's /etc/qemu/qemu-ga.conf, or mend what the message names."
    vm: str
    command: str
    message: str


@dataclass(eq=False)
class RestorePointUnknown(VmkeepError):
    """The host holds no such restore point."""

    text = "this host holds no restore point {e.point_id} of VM {e.vm_uuid}"
    remedy = "Use the recovery point's vault tier."
    vm_uuid: str
    point_id: str


@dataclass(eq=False)
class RestorePointInUse(VmkeepError):
    """A restore point is being read and cannot be merged away."""

    retry = Retry.LATER
    text = "restore point {e.point_id} is being read"
    remedy = "Wait for the transfer to end."
    point_id: str


@dataclass(eq=False)
class LayerInUse(VmkeepError):
    """A layer that libvirt does not name is open: to touch it could cost a VM all that it wrote lately."""

    retry = Retry.AFTER_CHANGE
    text = "the layer {e.path} is open in a QEMU although libvirt does not name it"
    remedy = (
        "If it belongs to a running VM, shut that VM down and start it again: its next start uses the layer. "
        "Do not delete the file."
    )
    path: str


@dataclass(eq=False)
class FrozenLayerWritten(VmkeepError):
    """Somebody wrote to a file that a restore point froze: it does not hold what was captured any more."""

    text = "restore point {e.point_id} is damaged: {e.path} was written to after it was frozen"
    remedy = "Use another recovery point; the next backup makes one that is right."
    point_id: str
    path: str


@dataclass(eq=False)
class JournalUnreadable(VmkeepError):
    """What is written down of a VM's restore points cannot be understood; nothing is done to the VM's disks."""

    retry = Retry.AFTER_CHANGE
    text = "cannot read the journal {e.path}: {e.why}"
    remedy = (
        "Use the version of vmkeep that wrote it, or put the file back from a backup of the state folder."
    )
    path: str
    why: str


@dataclass(eq=False)
class MergeIncomplete(VmkeepError):
    """A block job ended, but the layer is still in the chain."""

    retry = Retry.LATER
    text = "layer {e.layer} of VM '{e.vm}' could not be merged: the block job ended without doing it"
    remedy = "Try again; libvirt's log of the VM says why QEMU gave up."
    vm: str
    layer: str


@dataclass(eq=False)
class NameTaken(VmkeepError):
    """A VM with the wanted name exists."""

    retry = Retry.AFTER_CHANGE
    text = "a VM named '{e.name}' exists on this host"
    remedy = "Choose another name for the restored VM."
    name: str


@dataclass(eq=False)
class NotRestoredByUs(VmkeepError):
    """A VM was not made by a restore, so a failed restore must not delete it."""

    text = "VM '{e.name}' was not created by a restore"
    remedy = "Delete it with `virsh undefine` if that is what you want."
    name: str


@dataclass(eq=False)
class MachineDefinitionUnusable(VmkeepError):
    """A VM's recorded definition cannot become a new VM."""

    text = "cannot define a VM from the recovery point: {e.why}"
    remedy = "Restore the disks only and define the VM by hand."
    why: str


@dataclass(eq=False)
class NetworkNotFound(VmkeepError):
    """No libvirt network has that name."""

    retry = Retry.AFTER_CHANGE
    text = "no libvirt network '{e.name}' on this host"
    remedy = "Use a name that `virsh net-list --all` shows."
    name: str


@dataclass(eq=False)
class NetworkUnfit(VmkeepError):
    """A network cannot carry the wire."""

    retry = Retry.AFTER_CHANGE
    text = "network '{e.name}' cannot be attached: {e.why}"
    remedy = "Use a NAT, routed or isolated network whose DHCP libvirt serves."
    name: str
    why: str


@dataclass(eq=False)
class ConsistencyNotReached(VmkeepError):
    """Nothing went wrong, but the guest is not set up for the consistency that its protection asks for."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' reaches no better consistency than {e.reached}; its protection asks for {e.least}"
    remedy = (
        "Give the guest a pre- and a post-script (docs/scripts.md), or ask for less: "
        "vmkeep protection update-for-vm --vm {e.vm} --consistency {e.reached}"
    )
    vm: str
    reached: str
    least: str


@dataclass(eq=False)
class FreezeBroken(VmkeepError):
    """The guest was thawed before its layers were switched, so the capture is not consistent."""

    retry = Retry.LATER
    text = "VM '{e.vm}' had to be thawed before its disks were captured"
    remedy = "See why the host's storage is slow; the guest must not stand still for longer."
    vm: str
