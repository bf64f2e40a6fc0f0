"""A reading of crontab text by brute force: it shares no code with the product.

Each question is answered from the text itself, for one wall-clock time or one date: a list holds if
any of its members holds, and a range is walked value by value.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from functools import cache

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
BOUNDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59), (1970, 2099)]


def split(text: str) -> tuple[str | None, list[str]]:
    """Return the zone that stands before the fields, and the fields."""
    words = text.split()
    if words[0].startswith(("TZ=", "CRON_TZ=")):
        return words[0].split("=")[1], words[1:]
    return None, words


def runs_by_elapsed_time(fields: list[str]) -> bool:
    return fields[0][0] == "*" or fields[1][0] == "*"


def matches(fields: list[str], shown: datetime) -> bool:
    """Tell whether the clock's *shown* matches, to the second."""
    second, year = [*fields[5:], *["0", "*"][len(fields) - 5 :]]
    return (
        number_holds(0, fields[0], shown.minute)
        and number_holds(5, second, shown.second)
        and number_holds(1, fields[1], shown.hour)
        and number_holds(6, year, shown.year)
        and day_holds(fields, shown.date())
    )


def day_holds(fields: list[str], day: date) -> bool:
    """Tell whether month and day match; Debian's rule joins the two day fields."""
    if not number_holds(3, fields[3], day.month):
        return False
    by_date = any(date_holds(member, day) for member in fields[2].lower().split(","))
    by_weekday = any(weekday_holds(member, day) for member in fields[4].lower().split(","))
    if fields[2][0] in "*?" or fields[4][0] in "*?":
        return by_date and by_weekday
    return by_date or by_weekday


def number_holds(place: int, field: str, value: int) -> bool:
    return any(value in walked(place, member) for member in field.lower().split(","))


@cache
def walked(place: int, member: str) -> list[int]:
    """Return the values of a member in its own order, every one or each so many."""
    low, high = BOUNDS[place]
    body, _, step = member.partition("/")
    if body in ("*", "?"):
        value, last = low, high
    elif "-" in body:
        first_word, last_word = body.split("-")
        value, last = number(place, first_word), number(place, last_word)
    else:
        value = number(place, body)
        last = high if step else value
    every = [value]
    while value != last:
        value += 1
        if value > high and not (place == 4 and value == last == 7):
            value = 1 if (place, value) == (4, 8) else low
        every.append(value)
    return [one % 7 if place == 4 else one for one in every[:: int(step or 1)]]


def number(place: int, word: str) -> int:
    if place == 3 and word in MONTHS:
        return MONTHS.index(word) + 1
    if place == 4 and word in WEEKDAYS:
        return WEEKDAYS.index(word)
    return 31 if (place, word) == (2, "l") else int(word)


def month_of(day: date) -> list[date]:
    length = calendar.monthrange(day.year, day.month)[1]
    return [day.replace(day=n) for n in range(1, length + 1)]


def date_holds(member: str, day: date) -> bool:
    month = month_of(day)
    if "w" in member:
        target = target_of(member.replace("w", ""), month)
        working = [each for each in month if each.weekday() < 5]
        return target is not None and day == min(working, key=lambda each: abs(each - target))
    if member[0] == "l":
        return day == target_of(member, month)
    return day.day in walked(2, member)


def target_of(text: str, month: list[date]) -> date | None:
    """Return the day that ``L``, ``L-3`` or ``15`` names; a day past the end is the last one."""
    if text[0] != "l":
        return month[min(int(text), len(month)) - 1]
    back = int(text[2:] or 0)
    return month[-1 - back] if back < len(month) else None


def weekday_holds(member: str, day: date) -> bool:
    sunday0 = day.isoweekday() % 7
    if member[0] == "l":
        is_last = (day + timedelta(days=7)).month != day.month
        return is_last and sunday0 == number(4, member[1:]) % 7
    days, _, which = member.partition("#")
    return sunday0 in walked(4, days) and (not which or (day.day + 6) // 7 == int(which))
