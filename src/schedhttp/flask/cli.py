"""Flask's command line: ``flask routes`` loads the app as ``flask run`` does, but does not serve.

Flask loads an app inside the context of a Click command below its ``FlaskGroup``, whatever the
program's name is.
"""

from __future__ import annotations

import sys
from itertools import takewhile

from click import Context, UsageError, get_current_context
from flask.cli import FlaskGroup, ScriptInfo

_SERVES = "run"


def loading_command() -> str | None:
    """Return the name of the command for which Flask is loading the app; it may be empty.

    None: Flask loads no app, or loads it for the command that serves (``run``), or has loaded it
    and runs the command itself, which may start a scheduler.
    """
    context: Context | None = get_current_context(silent=True)
    words: list[str] = []
    while context is not None and not isinstance(context.command, FlaskGroup):
        words.insert(0, context.info_name or "")
        context = context.parent
    if context is None or _has_loaded(context):
        return None
    words = words or _called(context)
    return None if _SERVES in words else "".join(words[:1])


def _called(context: Context) -> list[str]:
    """Return the names of the called command before Click has resolved it.

    Flask loads the app so early to ask for its own commands.  The command's arguments may be
    included.
    """
    try:
        _, words, _ = context.command.make_parser(context).parse_args(sys.argv[1:])
    except UsageError:  # the command line belongs to another program, which called Flask
        return []
    return list(takewhile(lambda word: not word.startswith("-"), words))


def _has_loaded(context: Context) -> bool:
    info = context.find_object(ScriptInfo)
    return getattr(info, "_loaded_app", None) is not None
