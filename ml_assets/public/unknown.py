"""A name that nothing bears: the message says which is near, or which there are."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_MOST_SHOWN = 12


class UnknownName(KeyError):
    """A name that nothing bears in a project; the message names what exists."""

    def __str__(self) -> str:
        return str(self.args[0])


def unknown_name(what: str, name: object, there: Iterable[str], faults: Sequence[str] = ()) -> UnknownName:
    """Make the error for a name that nothing bears.

    Args:
        what: the kind of thing, such as ``table``.
        there: the names that exist.
        faults: lines about what could not be read, among which the name may be.
    """
    names = sorted({*there})
    # Of a source, its checked rows are what is read.
    near = f"{name}/validated"
    close = [near] if near in names else get_close_matches(str(name), names, n=1)
    if close:
        hint = f"did you mean {close[0]}?"
    else:
        more = len(names) - _MOST_SHOWN
        listed = ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        hint = f"there are {listed}" if names else "there are none"
    unread = f"; what could not be read: {'; '.join(faults)}" if faults else ""
    return UnknownName(f"no {what} {name}; {hint}{unread}")
