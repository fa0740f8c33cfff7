from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from vmkeep.base.config import UnknownSetting, UnreadableConfig, describe, load
from vmkeep.base.errors import InvalidValue


@dataclass(frozen=True)
class Settings:
    port: Annotated[int, "Where."] = 8443
    folder: Annotated[Path, "What."] = Path("/var")
    pause: Annotated[float, "How long."] = 1.5
    name: Annotated[str, "Who."] = ""
    loud: Annotated[bool, "Whether."] = True


def read(file: Path | None = None, environ: dict[str, str] | None = None, **flags: object) -> Settings:
    return load(Settings, file=file, environ=environ or {}, flags=flags)


def test_flags_weigh_more_than_the_environment_and_that_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "vmkeep.toml"
    file.write_text('port = 1\nfolder = "/srv"\npause = 2\nname = "file"')
    read_all = read(file, {"VMKEEP_PORT": "2", "VMKEEP_NAME": "environment"}, name="flag", port=None)
    assert read_all == Settings(port=2, folder=Path("/srv"), pause=2.0, name="flag")


def test_without_anything_the_defaults_hold() -> None:
    assert read() == Settings()
    assert describe(Settings)[0] == ("port", "8443", "Where.")
    assert describe(Settings)[-1] == ("loud", "true", "Whether.")


def test_yes_and_no_are_true_and_false_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "vmkeep.toml"
    file.write_text("loud = false")
    assert not read(file).loud
    assert not read(environ={"VMKEEP_LOUD": "False"}).loud
    with pytest.raises(InvalidValue, match="VMKEEP_LOUD"):
        read(environ={"VMKEEP_LOUD": "maybe"})


def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "vmkeep.toml"
    file.write_text("prot = 1")
    with pytest.raises(UnknownSetting) as refused:
        read(file)
    assert "did you mean 'port'?" in refused.value.advice


@pytest.mark.parametrize("content", ["port = ", "port = [", None], ids=["half-line", "open-list", "absent"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "vmkeep.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UnreadableConfig):
        read(file)


@pytest.mark.parametrize("value", ["many", "1.5", ""])
def test_a_value_of_the_wrong_kind_is_refused_with_its_source(tmp_path: Path, value: str) -> None:
    file = tmp_path / "vmkeep.toml"
    file.write_text(f'port = "{value}"')
    with pytest.raises(InvalidValue, match=r"setting port in .*vmkeep\.toml"):
        read(file)
    if value:
        with pytest.raises(InvalidValue, match="VMKEEP_PORT"):
            read(environ={"VMKEEP_PORT": value})
