"""QEMU's command line tools on image files; every call has an end."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.encryption_errors import DiskKeyMissing, DiskKeyWrong, KeyNotTimed
from vmkeep.fabric.errors import DiskVanished, ImageUnreadable
from vmkeep.fabric.tool_secret import NAME, tool_secret

LOOK_TIMEOUT_S = 60
"""For calls that read or write headers only."""
MAP_TIMEOUT_S = 1800
"""For walking the tables of the largest images."""


def run(arguments: Sequence[str], *, path: str, key: str | None = None) -> str:
    """Run `qemu-img` with `arguments` and return what it prints; `key` opens its images.

    Raises DiskVanished, DiskKeyMissing, DiskKeyWrong, ImageUnreadable.
    """
    command, *rest = arguments
    try:
        with tool_secret(key) as secret:
            done = subprocess.run(
                ["qemu-img", command, *secret.arguments, *rest],
                pass_fds=secret.descriptors,
                capture_output=True,
                text=True,
                timeout=LOOK_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise ImageUnreadable(path, f"qemu-img took longer than {LOOK_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise failure(path, done.stderr)
    return done.stdout


@contextmanager
def lines(arguments: Sequence[str], *, path: str, key: str | None = None) -> Iterator[Iterator[str]]:
    """Run `qemu-img` and pass on its lines as they come; `key` opens its images. Raises as `run`."""
    command, *rest = arguments
    with (
        tool_secret(key) as secret,
        subprocess.Popen(
            ["qemu-img", command, *secret.arguments, *rest],
            pass_fds=secret.descriptors,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        end = Timer(MAP_TIMEOUT_S, process.kill)
        end.start()
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            assert process.stderr is not None  # noqa: S101 - asked for above
            yield iter(process.stdout)
            if process.wait() != 0:
                raise failure(path, process.stderr.read())
        finally:
            end.cancel()
            process.kill()


def commit(image: Sequence[str], *, path: str, key: str | None, tick: Callable[[], None]) -> None:
    """Copy a qcow2 layer's data into the image right below it; the layer itself stays as it is.

    `image` names the layer in qemu-img's arguments, `path` in errors; `key` opens it. `tick` is called several times
    a second and may raise, which ends the copy; doing it again is safe. Raises as `run`.
    """
    with (
        tool_secret(key) as secret,
        subprocess.Popen(
            # -d: leave the layer's data in it, so that being killed half-way costs nothing
            ["qemu-img", "commit", *secret.arguments, "-q", "-d", *image],
            pass_fds=secret.descriptors,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    tick()
        finally:
            process.terminate()
        assert process.stderr is not None  # noqa: S101 - asked for above
        if process.returncode != 0:
            raise failure(path, process.stderr.read())


def describe_chain(path: str, image_format: str) -> list[dict[str, Any]]:  # qemu-img's JSON
    """Return `qemu-img info` of an image and all it is backed by, newest first.

    Raises DiskVanished, also for a file further down, and ImageUnreadable.
    """
    arguments = ["info", "-U", "--output=json", "-f", image_format]
    try:
        described: list[dict[str, Any]] = json.loads(run([*arguments, "--backing-chain", path], path=path))
    except ImageUnreadable:
        about = json.loads(run([*arguments, path], path=path))
        if "full-backing-filename" in about and "backing-filename-format" in about:
            describe_chain(about["full-backing-filename"], about["backing-filename-format"])
        raise
    return described


def failure(path: str, message: str) -> VmkeepError:
    """Return the error that fits a failed call about `path`."""
    if "accurate CPU usage" in message:
        return KeyNotTimed(path)
    if not Path(path).exists():
        return DiskVanished(path)
    if "Invalid password" in message:  # QEMU has nothing but words for it
        return DiskKeyWrong(path)
    if "key-secret' is required" in message or f"No secret with id '{NAME}'" in message:
        return DiskKeyMissing(path)
    return ImageUnreadable(path, message.strip() or "qemu-img gave no reason")
