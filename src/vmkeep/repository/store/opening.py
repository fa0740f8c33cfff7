"""From an address to a store."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from obstore.store import S3Store

from vmkeep.base.clock import Clock, SystemClock
from vmkeep.base.errors import InvalidValue
from vmkeep.repository.store.local import LocalStore
from vmkeep.repository.store.protocol import ObjectStore
from vmkeep.repository.store.remote import RemoteStore
from vmkeep.repository.store.retrying import RetryingStore

if TYPE_CHECKING:
    from obstore.store import S3Config

_ENDPOINT = "AWS_ENDPOINT_URL"
_S3_OPTIONS = {"endpoint", "region", "access_key_id", "secret_access_key", "session_token"}


def open_store(
    url: str, options: Mapping[str, str] | None = None, *, clock: Clock | None = None
) -> ObjectStore:
    """Return the store at `url`: a path, `file:///path` or `s3://bucket/prefix`; remote ones try again by themselves.

    Options for S3: `endpoint`, `region`, `access_key_id`, `secret_access_key`, `session_token`; what is not given comes
    from the usual `AWS_…` variables or the machine's role. An endpoint `http://…` is taken at its word. Raises InvalidValue for an address or option it does not know.
    """
    options = options or {}
    parts = urlsplit(url)
    allowed = _S3_OPTIONS if parts.scheme == "s3" else set()
    if unknown := sorted(options.keys() - allowed):
        raise InvalidValue(
            "store option", unknown[0], f"'{url}' takes {', '.join(sorted(allowed)) or 'none'}"
        )
    match parts.scheme:
        case "":
            return LocalStore(Path(url))
        case "file" if parts.netloc in ("", "localhost"):
            return LocalStore(Path(unquote(parts.path)))
        case "s3" if parts.netloc:
            return RetryingStore(
                _open_s3(url, parts.netloc, parts.path.strip("/"), options), clock or SystemClock()
            )
        case _:
            raise InvalidValue("store address", url, "expected a path, file:///path or s3://bucket/prefix")


def _open_s3(url: str, bucket: str, prefix: str, options: Mapping[str, str]) -> RemoteStore:
    endpoint = options.get("endpoint") or os.environ.get(_ENDPOINT, "")
    store = S3Store(
        bucket,
        prefix=prefix,
        config=cast("S3Config", dict(options)),  # its keys are ours, already looked at
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(minutes=10),  # for one pack on a slow line
        },
        retry_config={"max_retries": 1, "retry_timeout": timedelta(minutes=10)},
    )
    return RemoteStore(store, f"{url} at {endpoint}" if endpoint else url)
