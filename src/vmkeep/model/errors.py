"""What can be wrong with values of the model."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class InvalidPolicy(VmkeepError):
    """A policy's schedule or retention makes no sense."""

    code = "BMSUserErrorInvalidPolicyInput"
    retry = Retry.AFTER_CHANGE
    text = "{e.where} is not valid: {e.why}"
    remedy = "Correct it and send the policy again."
    where: str
    why: str
