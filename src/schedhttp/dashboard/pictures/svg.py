"""SVG elements as text.

Horizontal positions and widths are fractions of the picture's width, from 0 to 1, so that it fits
a window of any width without distortion.  Heights are in pixels.
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from schedhttp.dashboard import texts

_NO_XML: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
_LONGEST: Final = 300


def shown(text: object) -> str:
    """Return text for a picture: bounded in length, with invisible characters made visible."""
    whole = str(texts.visible(str(text)))
    if len(whole) > _LONGEST:
        whole = whole[: _LONGEST - 1] + "…"
    return _NO_XML.sub("\ufffd", whole)


def part(of_width: float) -> str:
    """Return a fraction of the width as an attribute's value."""
    return f"{min(1.0, max(0.0, of_width)) * 100:.2f}%"


def element(name: str, *inside: Markup | str, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        inside: Its elements, and texts, which are escaped.
        attributes: Their values; ``class_`` stands for ``class``, ``_`` for ``-``, and None for
            no attribute.
    """
    given = Markup("").join(
        Markup(' {}="{}"').format(_attribute(key), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    content = Markup("").join(each if isinstance(each, Markup) else shown(each) for each in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), given, content)


def _attribute(key: str) -> Markup:
    return Markup("viewBox" if key == "view_box" else key.rstrip("_").replace("_", "-"))


def _value(value: object) -> Markup:
    return escape(f"{value:.1f}" if isinstance(value, float) else shown(value))


def bar(
    begin: float, end: float, top: float, height: float, kind: str, title: str, least: float = 0.004
) -> Markup:
    """Return a rectangle with a tooltip.

    Args:
        begin: Its left edge.
        end: Its right edge.
        top: Its upper edge.
        height: Its height.
        kind: The class of its colour.
        title: The text of the tooltip.
        least: Its minimum width.
    """
    begin = min(begin, 1 - least)
    return element(
        "rect",
        element("title", title),
        x=part(begin),
        y=top,
        width=part(max(least, end - begin)),
        height=height,
        class_=kind,
    )


def line(at: float, top: float, bottom: float, kind: str) -> Markup:
    """Return a vertical line."""
    return element("line", x1=part(at), x2=part(at), y1=top, y2=bottom, class_=kind)


def picture(kind: str, height: int, label: str, *inside: Markup) -> Markup:
    """Return a whole picture.

    Args:
        kind: Its class.
        height: Its height in pixels; it is as wide as the page allows.
        label: What it shows, in words.
        inside: Its elements.
    """
    return element(
        "svg",
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        class_=f"picture {kind}",
        width="100%",
        height=height,
        role="img",
        aria_label=label,
    )
