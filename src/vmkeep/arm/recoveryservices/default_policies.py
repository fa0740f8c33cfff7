"""The two policies every new vault has, with Azure's names and bodies."""

from datetime import datetime

from vmkeep.arm.members import Json
from vmkeep.arm.wire_time import show_time

_HOUR, _MINUTE = 2, 30


def default_policies(now: datetime) -> dict[str, Json]:
    """Return name → properties: daily at 02:30 UTC for 30 days, and every four hours for 30 days."""
    at = show_time(now.replace(hour=_HOUR, minute=_MINUTE, second=0, microsecond=0))
    daily = {
        "retentionTimes": [at],
        "retentionDuration": {"count": 30, "durationType": "Days"},
    }
    common: Json = {
        "backupManagementType": "AzureIaasVM",
        "instantRPDetails": {},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy", "dailySchedule": daily},
        "tieringPolicy": {
            "ArchivedRP": {"tieringMode": "DoNotTier", "duration": 0, "durationType": "Invalid"}
        },
        "timeZone": "UTC",
    }
    return {
        "DefaultPolicy": {
            **common,
            "policyType": "V1",
            "instantRpRetentionRangeInDays": 2,
            "schedulePolicy": {
                "schedulePolicyType": "SimpleSchedulePolicy",
                "scheduleRunFrequency": "Daily",
                "scheduleRunTimes": [at],
                "scheduleWeeklyFrequency": 0,
            },
        },
        "EnhancedPolicy": {
            **common,
            "policyType": "V2",
            "instantRpRetentionRangeInDays": 7,
            "schedulePolicy": {
                "schedulePolicyType": "SimpleSchedulePolicyV2",
                "scheduleRunFrequency": "Hourly",
                "hourlySchedule": {
                    "interval": 4,
                    "scheduleWindowStartTime": show_time(
                        now.replace(hour=8, minute=0, second=0, microsecond=0)
                    ),
                    "scheduleWindowDuration": 12,
                },
            },
        },
    }
