from dataclasses import dataclass

from vmkeep.base.errors import InvalidValue, Retry, VmkeepError


@dataclass(eq=False)
class KettleCold(VmkeepError):
    retry = Retry.LATER
    text = "kettle {e.kettle} is at {e.degrees} degrees"
    remedy = "Switch {e.kettle} on."
    kettle: str
    degrees: int


def test_error_is_a_record_with_sentence_and_advice() -> None:
    error = KettleCold(kettle="red", degrees=12)
    assert error.code == "KettleCold"
    assert str(error) == "kettle red is at 12 degrees"
    assert error.advice == "Switch red on."
    assert error.facts() == {"kettle": "red", "degrees": 12}


def test_invalid_value_names_value_and_reason() -> None:
    error = InvalidValue(what="size", value="5 apples", why="unknown unit")
    assert str(error) == "size '5 apples' is not valid: unknown unit"
