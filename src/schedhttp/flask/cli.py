"""Flask's command line: ``flask routes`` loads the app as ``flask run`` does, and serves nothing.

Flask loads an app inside the context of a Click command below its ``FlaskGroup``, whatever the
program is called.
"""

from __future__ import annotations

import sys
from itertools import takewhile

from click import Context, UsageError, get_current_context
from flask.cli import FlaskGroup, ScriptInfo

_SERVES = "run"


def loading_command() -> str | None:
    """Return the name of the command for which Flask loads the app at this moment; may be empty.

    None: it loads none, or for a command that serves (``run``), or it has loaded the app already
    and the command itself is at work, which may do as it likes.
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
    """Return the names of the command that is called, where Click has not found it yet.

    The app is loaded so early when Flask asks it for commands of its own.  Arguments of the command
    may be among them.
    """
    try:
        _, words, _ = context.command.make_parser(context).parse_args(sys.argv[1:])
    except UsageError:  # the command line is that of another program, which has called this one
        return []
    return list(takewhile(lambda word: not word.startswith("-"), words))


def _has_loaded(context: Context) -> bool:
    info = context.find_object(ScriptInfo)
    return getattr(info, "_loaded_app", None) is not None
