"""Run drills and write the page: `make drills`, or `scripts/drills A2 F3` for those whose names begin so.

Outcomes are kept in .cache/drills.json, so the page grows drill by drill; one that was run again replaces its last outcome.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from traceback import print_exc

from tests.drills.drill import Drill, Outcome
from tests.drills.faults import DRILLS
from tests.drills.report import render
from tests.drills.running import run_drill, scene_of
from tests.lab.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".cache/drills.json"
PAGE = ROOT / "docs/drills.md"


def main(wanted: list[str]) -> int:
    """Run what is wanted, all for nothing; 1 when any came out wrong."""
    chosen = [drill for drill in DRILLS if not wanted or any(drill.name.startswith(one) for one in wanted)]
    kept = read()
    wrong = 0
    for number, drill in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {drill.name} …", flush=True)
        outcome = attempt(drill)
        if outcome is None:
            wrong += 1
            continue
        good = outcome.cause_right and outcome.code_right and outcome.healed is not False
        wrong += not good
        print(f"    {'right' if good else 'WRONG'}: {outcome}", flush=True)
        kept[drill.name] = outcome
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps([asdict(one) for one in kept.values()], indent=1))
        PAGE.write_text(render([kept[one.name] for one in DRILLS if one.name in kept]))
    return min(wrong, 1)


def attempt(drill: Drill) -> Outcome | None:
    """Return what a drill came to; None when it could not be done, which is said."""
    lab = Lab()
    try:
        with scene_of(lab) as scene:
            return run_drill(drill, scene)
    except Exception:  # noqa: BLE001 - the other drills go on
        print_exc()
        return None


def read() -> dict[str, Outcome]:
    """Return the outcomes of earlier runs by name."""
    if not KEPT.exists():
        return {}
    found = [Outcome(**{**one, "codes": tuple(one["codes"])}) for one in json.loads(KEPT.read_text())]
    return {one.name: one for one in found}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
