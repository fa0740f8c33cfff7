#!/bin/sh
# What the agent runs: handle.sh install|enable|disable|update|uninstall. Finds a Python and hands over to it.
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
too_old=71
for python in python3 /usr/bin/python3 /usr/libexec/platform-python python3.12 python3.11 python3.9 python3.8 python3.6; do
  command -v "$python" >/dev/null 2>&1 || continue
  # -I -S: nothing of the guest's own Python set-up is imported; it would cost time and could break us.
  "$python" -I -S "$folder/__main__.py" "$@"
  code=$?
  [ "$code" -eq "$too_old" ] || exit "$code"
done
echo "the VMSnapshot extension needs Python 3.6 or newer; none was found on this VM" >&2
exit 72
