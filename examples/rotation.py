"""Rotation of a log file: ``x.log`` becomes ``x.log.1``, that ``x.log.2``, and so on."""

from __future__ import annotations

from places import inside


def rotate(log: str, max_bytes: int = 1_000_000, keep: int = 3) -> str:
    """Rotate *log* once it is longer than *max_bytes*; the *keep* latest old files stay.

    Raises:
        ValueError: if *keep* is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: expected 1 or more")
    path = inside(log)
    size = path.stat().st_size if path.exists() else 0
    if size <= max_bytes:
        return f"{size} bytes: left alone"
    for number in range(keep, 0, -1):
        younger = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if younger.exists():
            younger.replace(path.with_name(f"{path.name}.{number}"))
    return f"{size} bytes: rotated"
