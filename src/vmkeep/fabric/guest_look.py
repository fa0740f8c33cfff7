"""The guest's own view: one read-only script, run by qemu-guest-agent, bounded in time and size.

The guest may be hostile: only known facts in their known form are taken, and all of them count as the guest's.
"""

import re
from collections.abc import Iterator
from datetime import datetime

from vmkeep.diagnosis.evidence import Evidence, GuestFact

LIMIT_S = 180
"""The slowest look waits 3 s for a connection; an emulated guest needs a few seconds for Python, a starved one two minutes."""

SCRIPT = r"""
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
renice -n -20 -p $$ >/dev/null 2>&1
connect() {
  command -v bash >/dev/null && command -v timeout >/dev/null || return
  said=$(timeout 3 bash -c 'exec 3<>/dev/tcp/168.63.129.16/80' 2>&1)
  code=$?
  case $code:$said in
    0:*) echo wire-connect=ok;;
    124:*) echo wire-connect=timeout;;
    *refused*) echo wire-connect=refused;;
    *) echo wire-connect=unreachable;;
  esac
}
connect &
unit=none
for name in walinuxagent waagent; do
  shown=$(systemctl show -p LoadState -p UnitFileState -p ActiveState $name.service 2>/dev/null)
  case $shown in *LoadState=loaded*|*LoadState=masked*) unit=$name; break;; esac
done
echo agent-unit=$unit
if [ $unit != none ]; then
  echo "$shown" | sed -n 's/^UnitFileState=/agent-enabled=/p; s/^ActiveState=/agent-active=/p'
fi
states=
ours=
for pid in $(ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's|.* /proc/\([0-9]*\)/exe -> .*python.*|\1|p'); do
  line=$(tr '\0' ' ' 2>/dev/null </proc/$pid/cmdline) || continue
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' /proc/$pid/status)
  case $line in
    *VMSnapshotLinux*) ours=$ours$state;;
    *waagent*-daemon*|*-run-exthandlers*) states=$states$state;; esac
done
echo agent-process=${states:-none}
echo extension-process=${ours:-none}
if [ -e /usr/sbin/waagent ] && python3 -c 'import azurelinuxagent.common.version' 2>/dev/null; then
  echo python=works
else
  echo python=broken
fi
if [ -r /etc/waagent.conf ]; then
  value=$(sed -n 's/^[[:space:]]*Extensions.Enabled[[:space:]]*=[[:space:]]*\([yn]\).*/\1/p' /etc/waagent.conf | tail -n 1)
  echo extensions-enabled=${value:-y}
  since=$(systemctl show -p ActiveEnterTimestamp --value $unit.service 2>/dev/null)
  if [ -n "$since" ] && [ "$(date -d "$since" +%s)" -ge "$(stat -c %Y /etc/waagent.conf)" ]; then
    echo settings-read=yes
  else
    echo settings-read=no
  fi
fi
echo root-free-kib=$(df -Pk / | awk 'NR == 2 {print $4}')
echo root-mode=$(awk '$2 == "/" {mode = $4} END {print substr(mode, 1, 2)}' /proc/mounts)
case ,$(findmnt -n -o OPTIONS -T /var/lib/waagent), in
  *,noexec,*) echo agent-folder=noexec;;
  *,rw,*|*,ro,*) echo agent-folder=exec;;
esac
if ip -4 -o addr show up scope global | grep -q inet; then echo address=yes; else echo address=none; fi
if grep -qi 10813FA8 /proc/net/route || grep -qs 'unknown-245' /var/lib/dhcp/dhclient*.leases; then
  echo fabric-route=yes
else
  echo fabric-route=none
fi
if [ -e /etc/azure/vmbackup.conf ]; then
  case $(head -c 2 /etc/azure/vmbackup.conf | od -An -tx1 | tr -d ' ') in
    fffe|feff) echo backup-conf=utf-16;;
    *) echo backup-conf=text;;
  esac
else
  echo backup-conf=none
fi
echo distribution=$(. /etc/os-release; echo "$PRETTY_NAME")
wait
echo clock=$(date +%s)
"""

_WORDS = re.compile(r"[A-Za-z0-9 .,:;()/_+-]{1,80}")
_FORMS: dict[GuestFact, re.Pattern[str]] = {
    GuestFact.AGENT_UNIT: re.compile(r"none|walinuxagent|waagent"),
    GuestFact.AGENT_ENABLED: re.compile(r"[a-z-]{1,20}"),
    GuestFact.AGENT_ACTIVE: re.compile(r"[a-z-]{1,20}"),
    GuestFact.AGENT_PROCESS: re.compile(r"none|[A-Za-z]{1,20}"),
    GuestFact.EXTENSION_PROCESS: re.compile(r"none|[A-Za-z]{1,20}"),
    GuestFact.PYTHON: re.compile(r"works|broken"),
    GuestFact.EXTENSIONS_ENABLED: re.compile(r"y|n"),
    GuestFact.SETTINGS_READ: re.compile(r"yes|no"),
    GuestFact.ROOT_FREE_KIB: re.compile(r"[0-9]{1,15}"),
    GuestFact.ROOT_MODE: re.compile(r"ro|rw"),
    GuestFact.AGENT_FOLDER: re.compile(r"exec|noexec"),
    GuestFact.ADDRESS: re.compile(r"yes|none"),
    GuestFact.FABRIC_ROUTE: re.compile(r"yes|none"),
    GuestFact.WIRE_CONNECT: re.compile(r"ok|timeout|refused|unreachable"),
    GuestFact.CLOCK: re.compile(r"[0-9]{1,12}"),
    GuestFact.BACKUP_CONF: re.compile(r"none|text|utf-16"),
    GuestFact.DISTRIBUTION: _WORDS,
}


def read_answer(answer: str, at: datetime) -> tuple[Evidence, ...]:
    """Return the evidence in what the script printed; lines that are not in their known form are left out."""
    return tuple(_read_lines(answer, at))


def _read_lines(answer: str, at: datetime) -> Iterator[Evidence]:
    for line in answer.splitlines():
        name, _, value = line.partition("=")
        if name in set(GuestFact) and _FORMS[GuestFact(name)].fullmatch(value):
            yield Evidence(GuestFact(name), value, at, "qemu-guest-agent")
