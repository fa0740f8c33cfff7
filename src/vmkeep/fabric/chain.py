"""The chain of files that a disk is made of, and the names of our layers in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from vmkeep.fabric import qemu_img
from vmkeep.fabric.domain_xml import attribute
from vmkeep.fabric.errors import DiskVanished, ImageUnreadable
from vmkeep.model.machine import DiskFormat

_LAYER = re.compile(r"(?P<stem>.+)\.vmkeep-[0-9A-Za-z-]+\.qcow2")


@dataclass(frozen=True, slots=True)
class Image:
    """One file of a chain. `size_bytes` is what the guest would see."""

    path: str
    format: DiskFormat
    size_bytes: int
    plain: bool = True
    """Whether data is in the file itself, not in another one that it names (`data_file`)."""


Chain = tuple[Image, ...]
"""Base first."""


@dataclass(frozen=True, slots=True)
class Fold:
    """What to do: put the data of `upper` into `lower`, so that nothing needs `upper` any more."""

    disk: str
    upper: str
    lower: str


def read_chain(path: str, image_format: DiskFormat, *, disk: str) -> Chain:
    """Return the chain of `disk` that ends with `path`, as it is now. Raises DiskVanished, ImageUnreadable."""
    try:
        described = qemu_img.describe_chain(path, image_format)
    except DiskVanished as error:
        raise DiskVanished(error.path, disk) from error
    for image in described:
        if image.get("full-backing-filename") and not image.get("backing-filename-format"):
            raise ImageUnreadable(str(image["filename"]), "it does not name the format of its backing file")
    return tuple(
        Image(
            same(str(image["filename"])),
            _known_format(image),
            int(image["virtual-size"]),
            plain="data-file" not in image.get("format-specific", {}).get("data", {}),
        )
        for image in reversed(described)
    )


def _known_format(image: dict[str, object]) -> DiskFormat:
    try:
        return DiskFormat(str(image["format"]))
    except ValueError as error:
        why = f"images of format {image['format']} cannot be part of a captured disk"
        raise ImageUnreadable(str(image["filename"]), why) from error


def same(path: str) -> str:
    """Return the one spelling of a path that paths are compared by."""
    return str(Path(path).resolve())


def paths(chain: Chain) -> tuple[str, ...]:
    """Return the chain's files, base first."""
    return tuple(image.path for image in chain)


def format_of(chain: Chain, path: str) -> DiskFormat:
    """Return the format of a file of the chain."""
    return next(image.format for image in chain if image.path == path)


def layer_path(active_path: str, point_id: str) -> str:
    """Return the file for the layer that goes on `active_path` when `point_id` is captured."""
    active = Path(active_path)
    layer = _LAYER.fullmatch(active.name)
    stem = layer["stem"] if layer else active.stem
    suffix = re.sub(r"[^0-9A-Za-z-]", "-", point_id)
    return str(active.with_name(f"{stem}.vmkeep-{suffix}.qcow2"))


def is_layer(path: str) -> bool:
    """Whether a file has the name of one of our layers."""
    return _LAYER.fullmatch(Path(path).name) is not None


def block_indexes(disk: ET.Element) -> dict[str, str]:
    """Return libvirt's index of each file in a running VM's disk, such as `3` for `vda[3]`."""
    indexes: dict[str, str] = {}
    source: ET.Element | None = disk
    while source is not None:
        file, index = attribute(source, "source", "file"), attribute(source, "source", "index")
        if file:
            indexes[same(file)] = index or source.get("index", "")
        source = source.find("backingStore")
    return indexes


def above(chain: Sequence[str], path: str) -> str | None:
    """Return the file right above `path` in a chain; None when it is the newest, or not in it."""
    return next((upper for lower, upper in pairwise(chain) if lower == path), None)
