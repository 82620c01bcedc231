"""What is wrong with files: every problem of every file, in the order of files and lines, told in one go."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, NamedTuple

from onhand.identifiers import visible

PROBLEMS_SHOWN_MAX: Final = 100
"""Of one file: who has a thousand wrong rows has one mistake."""
CHARACTERS_SHOWN_MAX: Final = 100
NOTHING_LOADED: Final = "Nothing was loaded."


class LoadError(Exception):
    """Why nothing was loaded, or not all; the text is for people, one problem a line."""


class Where(NamedTuple):
    """A place in a file."""

    file: str
    line: int = 0
    """0: the file as a whole."""
    part: str = ""
    """The column, or the key."""

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line else ""
        return f"{self.file}{line}{', ' if self.part else ''}{self.part}"


@dataclass(slots=True)
class _OfFile:
    count: int = 0
    told: list[tuple[int, str]] = field(default_factory=list)


class Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self._files: dict[str, _OfFile] = {}

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self._files)

    def files(self) -> Collection[str]:
        """Return the names of the files that something is wrong with."""
        return self._files.keys()

    def add(self, where: Where, text: str) -> None:
        """Note one problem: what was expected, and what it was."""
        found = self._files.setdefault(where.file, _OfFile())
        found.count += 1
        if len(found.told) < PROBLEMS_SHOWN_MAX:
            found.told.append((where.line, f"{where}: {text}"))

    def expected(self, where: Where, expected: str, was: object) -> None:
        """Note a value that is not what was expected."""
        self.add(where, f"expected {expected}, was {shown(was)}.")

    def lines(self) -> list[str]:
        """Return them as people read them."""
        found = []
        for name, file in self._files.items():
            found += [text for _, text in sorted(file.told, key=lambda told: told[0])]
            if file.count > len(file.told):
                found.append(f"{name}: … and {file.count - len(file.told)} more.")
        return found

    def raise_if_any(self) -> None:
        """Refuse the files if anything is wrong with them."""
        if self:
            raise LoadError("\n".join([*self.lines(), NOTHING_LOADED]))


def shown(value: object) -> str:
    """Return a value as a problem shows it: texts quoted, with what they hide; only in part if it is long."""
    text = visible(value) if isinstance(value, str) else _plain(value)
    if len(text) > CHARACTERS_SHOWN_MAX:
        text = f"{text[:CHARACTERS_SHOWN_MAX]}…"
    return f'"{text}"' if isinstance(value, str) else text


def _plain(value: object) -> str:
    """Return a value of TOML in TOML's words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a table of {', '.join(value) or 'nothing'}"
    if isinstance(value, list):
        return f"[{', '.join(shown(each) for each in value)}]"
    return visible(str(value))


def nearest(name: str, known: Iterable[str]) -> str:
    """Name the known name that was meant, if one is near; else all."""
    names = list(known)
    near = get_close_matches(name.strip().lower(), names, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"? Known are {", ".join(names)}' if near else f"known are {', '.join(names)}"
