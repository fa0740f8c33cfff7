"""A layer that a QEMU writes to is never taken for a leftover."""

import json
from pathlib import Path

import pytest

from tests.fabric.on_guests import qemu_img
from vmkeep.fabric.errors import LayerInUse
from vmkeep.fabric.layer_use import remove_layer
from vmkeep.fabric.nbd import NbdImage


def test_layer_that_is_open_for_writing_is_refused_and_a_closed_one_is_not(tmp_path: Path) -> None:
    layer = tmp_path / "layer.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", layer, "1M")
    spec = {"driver": "qcow2", "file": {"driver": "file", "filename": str(layer)}}
    user = NbdImage([f"json:{json.dumps(spec)}"], path=str(layer))
    with pytest.raises(LayerInUse, match=r"layer\.qcow2"):
        remove_layer(str(layer))
    assert layer.exists()
    user.close()
    remove_layer(str(layer))
    assert not layer.exists()


def test_layer_that_does_not_exist_is_in_nobodys_use(tmp_path: Path) -> None:
    remove_layer(str(tmp_path / "none.qcow2"))
