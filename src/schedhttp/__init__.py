"""The REST API of a scheduler, as a WSGI app and as a Flask extension."""

from typing import TYPE_CHECKING

from schedcore import __version__
from schedcore.basics.lazy_imports import on_demand

if TYPE_CHECKING:
    from schedhttp.app import create_app

__all__ = ["__version__", "create_app"]

if not TYPE_CHECKING:
    # 0.1 s, half of it for Werkzeug: not for each who imports a part of this.
    __getattr__ = on_demand(__name__, {"create_app": "schedhttp.app"})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
