"""How a backup fails inside the guest: always with a code that the host understands."""


class BackupFailed(Exception):
    """This backup cannot succeed; `code` goes to the host as the result, `health_code` as the VM's health.

    `mount` is the mount point that is to blame, if one is.
    """

    def __init__(self, code: int, message: str, health_code: int = 0, mount: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.health_code = health_code or code
        self.mount = mount


class WrongSurroundings(Exception):
    """The agent did not start us as it should: there is no place even to write a status."""
