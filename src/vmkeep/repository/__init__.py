"""Encrypted, deduplicated, content-addressed storage behind one vault.

    store/            named objects in a folder, in S3, in memory
    layout, sealing   names and headers; keys, ids, compress-encrypt-authenticate
    sealed_objects    objects of one record: config, index, manifest, condemned, lease
    pack, index       many records in one object; where each lies
    tree, manifest    which chunk stands where on a disk; all disks of one point
    plan, ingest      extents in → manifest
    disk_reader, restore    manifest → extents out
    prune, check      remove what no manifest needs; compare what is there with what is claimed

Others use `Repository`, `RepositoryKey`, `open_store` and the errors. The format is docs/formats/repository.md.
"""

from vmkeep.repository.check import CheckReport, HurtDisk, Problem
from vmkeep.repository.disk_reader import DiskReader
from vmkeep.repository.ingest import IngestReport
from vmkeep.repository.manifest import DiskManifest, Manifest
from vmkeep.repository.prune import PruneReport
from vmkeep.repository.repository import Repository
from vmkeep.repository.restore import RestoreReport
from vmkeep.repository.sealing import RepositoryKey
from vmkeep.repository.store.opening import open_store
from vmkeep.repository.store.protocol import ObjectStore

__all__ = [
    "CheckReport",
    "DiskManifest",
    "DiskReader",
    "HurtDisk",
    "IngestReport",
    "Manifest",
    "ObjectStore",
    "Problem",
    "PruneReport",
    "Repository",
    "RepositoryKey",
    "RestoreReport",
    "open_store",
]
