"""Policies as clients send them: `az` sends back what it printed, so spelling, nulls and numbers vary."""

from typing import Any

from vmkeep.arm.errors import BadRequestBody
from vmkeep.arm.members import Json
from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.policy_terms import check_terms
from vmkeep.model.protection import AUTO_REMEDY_OFF, AUTO_REMEDY_SAFE

_SPELLINGS = {
    "instantrpdetails": "instantRPDetails",
    "azurebackuprgnameprefix": "azureBackupRGNamePrefix",
    "azurebackuprgnamesuffix": "azureBackupRGNameSuffix",
}
_NUMBERS = {
    "count",
    "interval",
    "scheduleWindowDuration",
    "instantRpRetentionRangeInDays",
    "duration",
    "date",
}
_DAYS = {"V1": range(1, 6), "V2": range(1, 31)}


def read_policy(properties: Json) -> Json:
    """Return the properties tidied; raises BadRequestBody when schedule or retention make no sense."""
    tidy: Json = _tidy(properties)
    tidy.pop("protectedItemsCount", None)
    if str(tidy.get("backupManagementType", "")).lower() != "azureiaasvm":
        raise BadRequestBody(why="properties.backupManagementType must be AzureIaasVM")
    tidy["backupManagementType"] = "AzureIaasVM"
    kind = str(tidy.setdefault("policyType", "V1")).upper()
    tidy["policyType"] = kind
    days = tidy.setdefault("instantRpRetentionRangeInDays", 2)
    if kind not in _DAYS:
        raise BadRequestBody(why="properties.policyType must be V1 or V2")
    if days not in _DAYS[kind]:
        raise BadRequestBody(why=f"instantRpRetentionRangeInDays must be 1 to {_DAYS[kind][-1]} for {kind}")
    own = tidy.get("vmkeep", {"autoRemedy": AUTO_REMEDY_OFF})
    if not isinstance(own, dict) or own.get("autoRemedy") not in {AUTO_REMEDY_OFF, AUTO_REMEDY_SAFE}:
        raise BadRequestBody(why="properties.vmkeep.autoRemedy must be off or safe")
    for name in ("schedulePolicy", "retentionPolicy"):
        if not isinstance(tidy.get(name), dict):
            raise BadRequestBody(why=f"properties.{name} is missing")
    try:
        check_terms(tidy)
    except InvalidPolicy as error:
        raise BadRequestBody(why=str(error)) from error
    return tidy


def _tidy(value: Any) -> Any:  # JSON of any shape
    if isinstance(value, dict):
        return {
            _SPELLINGS.get(key.lower(), key): _number(key, _tidy(one))
            for key, one in value.items()
            if one is not None
        }
    return [_tidy(one) for one in value] if isinstance(value, list) else value


def _number(key: str, value: Any) -> Any:  # JSON of any shape
    if key not in _NUMBERS or isinstance(value, int):
        return value
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise BadRequestBody(why=f"{key} must be a whole number, not '{value}'") from error
