"""Faults in the Azure Linux agent and in what it stands on."""

from tests.drills.drill import Drill, Remedy
from tests.drills.faults.steps import (
    FAILED,
    NO_AGENT,
    NO_STATUS,
    RESTART,
    START,
    agent,
    in_background,
    in_guest,
)

PACKAGE = "$(dirname $(python3 -c 'import azurelinuxagent as a; print(a.__file__)'))"
PACKAGES = "/usr/lib/python3*/*-packages/azurelinuxagent"
AGENT_FILES = "$(dpkg -L waagent | grep -E '/(systemd/system|init.d|sbin)/.')"
DROP_IN = "/etc/systemd/system/walinuxagent.service.d"
# A backup may even end well: the extension needs little room and no clock. The doctor warns nevertheless.
WRONG_CLOCK = ("", NO_STATUS, FAILED, NO_AGENT, "GuestAgentCertificateNotFound")
FULL = ("", FAILED, NO_STATUS, NO_AGENT, "ExtensionStuckInDeletionState", "ExtensionInstallationFailure")

DRILLS = (
    agent("A2 stopped", "A2", "systemctl stop walinuxagent", START, remedy=Remedy.APPLY),
    agent("A2 disabled", "A2", "systemctl disable --now walinuxagent", START, remedy=Remedy.APPLY),
    agent("A2 masked", "A2", "systemctl mask --now walinuxagent", START, remedy=Remedy.APPLY),
    agent(
        "A2 crash loop",
        "A2",
        f"mkdir -p {DROP_IN}; printf '[Service]\\nExecStartPre=/bin/false\\n' >{DROP_IN}/broken.conf; "
        f"systemctl daemon-reload; {RESTART} || true",
        f"rm {DROP_IN}/broken.conf; systemctl daemon-reload; systemctl reset-failed walinuxagent; {RESTART}",
    ),
    agent("A3 all stopped", "A3", "systemctl kill -s STOP walinuxagent", RESTART, remedy=Remedy.APPLY),
    agent(
        "A3 worker stopped",
        "A3",
        "pkill -STOP -f 'run-exthandler[s]'",
        RESTART,
        remedy=Remedy.APPLY,
    ),
    Drill(
        "A3 stopped at work",
        "A3",
        (NO_STATUS, NO_AGENT, "FreezeBroken"),
        in_background(
            "until pgrep -f VMSnapshotLinux-[9]; do sleep 0.2; done; systemctl kill -s STOP walinuxagent"
        ),
        in_guest(RESTART),
        Remedy.APPLY,
    ),
    agent("A1 purged", "A1", "dpkg --purge --force-depends waagent", "true", remedy=Remedy.NOT_TRIED),
    agent(
        "A1 unit and program gone",
        "A1",
        f"systemctl disable --now walinuxagent; tar cPf /root/agent.tar {AGENT_FILES}; rm -f {AGENT_FILES}; "
        "systemctl daemon-reload",
        f"tar xPf /root/agent.tar; systemctl daemon-reload; {START}",
    ),
    agent(
        "A4 program gone",
        "A4",
        f"systemctl stop walinuxagent; mv /usr/sbin/waagent /root/waagent; {RESTART} || true",
        f"mv /root/waagent /usr/sbin/waagent; systemctl reset-failed walinuxagent; {RESTART}",
    ),
    agent(
        "A4 package damaged",
        "A4",
        f"p={PACKAGE}; mv $p $p.away; systemctl restart walinuxagent || true",
        "for p in /usr/lib/python3*/*-packages/azurelinuxagent.away; do mv $p ${p%.away}; done; " + RESTART,
    ),
    agent(
        "A4 module broken",
        "A4",
        f"p={PACKAGE}/common/version.py; cp $p /root/version.py; echo 'syntax error (' >>$p; {RESTART} || true",
        f"cp /root/version.py {PACKAGES}/common/version.py; {RESTART}",
    ),
    agent(
        "A4 Python gone",
        "A4",
        f"mv /usr/bin/python3 /usr/bin/python3.away; {RESTART} || true",
        f"mv /usr/bin/python3.away /usr/bin/python3; {RESTART}",
    ),
    agent(
        "A5 extensions off",
        "A5",
        "sed -i 's/^Extensions.Enabled=.*/Extensions.Enabled=n/' /etc/waagent.conf; "
        "grep -q ^Extensions.Enabled /etc/waagent.conf || echo Extensions.Enabled=n >>/etc/waagent.conf; "
        + RESTART,
        "sed -i s/Extensions.Enabled=n/Extensions.Enabled=y/ /etc/waagent.conf; " + RESTART,
        remedy=Remedy.APPLY,
    ),
    agent(
        "A5 extensions off further below",
        "A5",
        f"echo Extensions.Enabled=n >>/etc/waagent.conf; {RESTART}",
        f"sed -i s/Extensions.Enabled=n/Extensions.Enabled=y/ /etc/waagent.conf; {RESTART}",
        remedy=Remedy.APPLY,
    ),
    Drill(
        "A6 root full",
        "A6",
        FULL,
        in_guest("fallocate -l $(($(df -Pk / | awk 'NR==2{print $4}') - 500))k /fill || true; sync"),
        in_guest(f"rm /fill; {RESTART}"),
    ),
    Drill(
        "A6 root read-only",
        "A6",
        FULL,
        in_guest("sync; echo 1 >/proc/sys/kernel/sysrq; echo u >/proc/sysrq-trigger; sleep 2"),
        in_guest(f"mount -o remount,rw /; mount -o remount,rw /data || true; {RESTART}"),
    ),
    Drill(
        "A7 clock a year ahead",
        "A7",
        WRONG_CLOCK,
        in_guest("timedatectl set-ntp false || true; date -s '+400 days'"),
        in_guest("date -s '-400 days'"),
    ),
    Drill(
        "A7 clock a year behind",
        "A7",
        WRONG_CLOCK,
        in_guest("timedatectl set-ntp false || true; date -s '-400 days'"),
        in_guest("date -s '+400 days'"),
    ),
    agent(
        "A2 and A5 at once",
        "A2",
        "systemctl stop walinuxagent; echo Extensions.Enabled=n >>/etc/waagent.conf",
        f"sed -i /^Extensions.Enabled=n/d /etc/waagent.conf; {START}",
    ),
)
