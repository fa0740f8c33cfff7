"""How a key of a key vault is named, here or elsewhere."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from vmkeep.base.errors import InvalidValue

OWN = "keyvault:"
_PARTS = {2, 3}  # keys/NAME or keys/NAME/VERSION


@dataclass(frozen=True, slots=True)
class KeyId:
    """`place` is the URL of a key vault elsewhere, or `keyvault:NAME` for one of ours; no version means the newest."""

    place: str
    name: str
    version: str = ""

    @classmethod
    def own(cls, key_vault: str, name: str, version: str = "") -> "KeyId":
        """Return the id of a key in one of our own key vaults."""
        return cls(f"{OWN}{key_vault}", name, version)

    @classmethod
    def parse(cls, text: str) -> "KeyId":
        """Read what `str` wrote, or the URL of a key; raises InvalidValue."""
        url = urlsplit(text)
        parts = [part for part in url.path.split("/") if part]
        place = f"https://{url.netloc.lower()}"
        if text.startswith(OWN):
            place, _, path = text.partition("/")
            parts = path.split("/")
        elif url.scheme != "https" or not url.hostname:
            parts = []
        if len(parts) not in _PARTS or parts[0] != "keys" or not all(parts):
            raise InvalidValue(
                what="key id", value=text, why="write https://KEY-VAULT/keys/NAME, with or without /VERSION"
            )
        return cls(place, *parts[1:])

    @property
    def own_key_vault(self) -> str | None:
        """The name of our own key vault that the key is in; None for one elsewhere."""
        return self.place.removeprefix(OWN) if self.place.startswith(OWN) else None

    def is_in(self, key_vault: str) -> bool:
        """Return whether the key is in our own key vault of that name."""
        return self.place.lower() == f"{OWN}{key_vault}".lower()

    def at(self, version: str) -> "KeyId":
        """Return the id of one version."""
        return replace(self, version=version)

    def __str__(self) -> str:
        """Return the id as it is kept and shown."""
        return "/".join(part for part in (self.place, "keys", self.name, self.version) if part)
