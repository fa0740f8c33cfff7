"""Sizes and rates as people read them."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_STEPS = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))


def format_size(size_bytes: float) -> str:
    """Return a size in binary units with one decimal: `1.5 GiB`, `312 B`."""
    for name, factor in _STEPS:
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {name}"
    return f"{size_bytes:.0f} B"
