"""A layer that a QEMU writes to is never taken for a leftover."""

import json
from pathlib import Path

import pytest

from tests.fabric.on_guests import qemu_img
from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import LayerInUse
from vmkeep.fabric.layer_use import remove_layer
from vmkeep.fabric.nbd import NbdImage


class ClosingClock(FakeClock):
    """While it is waited for, the image's user lets go."""

    def __init__(self, user: NbdImage) -> None:
        super().__init__()
        self._user = user

    def sleep(self, seconds: float) -> None:
        self._user.close()
        super().sleep(seconds)


def test_layer_that_stays_open_is_refused_and_one_that_is_let_go_is_not(tmp_path: Path) -> None:
    layer = tmp_path / "layer.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", layer, "1M")
    spec = {"driver": "qcow2", "file": {"driver": "file", "filename": str(layer)}}
    user = NbdImage([f"json:{json.dumps(spec)}"], path=str(layer))
    with pytest.raises(LayerInUse, match=r"layer\.qcow2"):
        remove_layer(str(layer), FakeClock())
    assert layer.exists()
    remove_layer(str(layer), ClosingClock(user))
    assert not layer.exists()


def test_layer_that_does_not_exist_is_in_nobodys_use(tmp_path: Path) -> None:
    remove_layer(str(tmp_path / "none.qcow2"), FakeClock())
