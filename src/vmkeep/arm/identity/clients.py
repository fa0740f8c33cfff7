"""Clients (service principals) and their secrets, kept as argon2 hashes in the catalog's settings.

Secrets are made here and have 256 random bits, so the hash may be quick (8 MiB, one pass): nobody guesses them, and
a command line that logs in each time stays quick.
"""

from collections import OrderedDict
from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vmkeep.arm.errors import InvalidClient, TooManyFailures
from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_token
from vmkeep.base.units import KIB
from vmkeep.catalog import Catalog

FAILURES_ALLOWED = 5
WINDOW_S = 60
_REMEMBERED = 1024


class Failures:
    """Counts failed log-ins of each client over a window; remembers a bounded number of clients."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: OrderedDict[str, list[float]] = OrderedDict()
        self._guard = Lock()

    def refuse_if_many(self, client_id: str) -> None:
        """Raise TooManyFailures when the client failed too often within the window."""
        now = self._clock.monotonic()
        with self._guard:
            recent = [moment for moment in self._times.get(client_id, []) if now - moment < WINDOW_S]
        if len(recent) >= FAILURES_ALLOWED:
            wait_s = int(WINDOW_S - (now - recent[-FAILURES_ALLOWED])) + 1
            raise TooManyFailures(client_id=client_id, wait_s=wait_s)

    def add(self, client_id: str) -> None:
        """Remember one failure."""
        with self._guard:
            moments = self._times.setdefault(client_id, [])
            moments.append(self._clock.monotonic())
            del moments[:-FAILURES_ALLOWED]
            self._times.move_to_end(client_id)
            while len(self._times) > _REMEMBERED:
                self._times.popitem(last=False)

    def clear(self, client_id: str) -> None:
        """Forget a client's failures."""
        with self._guard:
            self._times.pop(client_id, None)


class Clients:
    """Knows which client ids exist and whether a secret is theirs."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._hasher = PasswordHasher(time_cost=1, memory_cost=8 * KIB, parallelism=1)
        self._failures = Failures(clock)
        self._nobody = self._hasher.hash(new_token())

    def put(self, client_id: str, secret: str) -> None:
        """Make a client, or give it a new secret."""
        self._catalog.put_setting(_key(client_id), self._hasher.hash(secret))

    def verify(self, client_id: str, secret: str) -> None:
        """Raise InvalidClient or TooManyFailures unless the secret is the client's.

        An unknown client costs as much time as a wrong secret.
        """
        self._failures.refuse_if_many(client_id)
        known = self._catalog.find_setting(_key(client_id))
        if not self._matches(known or self._nobody, secret) or known is None:
            self._failures.add(client_id)
            raise InvalidClient(client_id=client_id)
        self._failures.clear(client_id)

    def _matches(self, hashed: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hashed, secret)
        except (VerificationError, InvalidHashError):
            return False


def _key(client_id: str) -> str:
    return f"client/{client_id}"
