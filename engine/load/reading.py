"""Reading files as people have them, by the tables and settings of the schema; every problem is noted, none is raised.

Tables are CSV with commas, semicolons, tabs or bars; in UTF-8, or UTF-16 with its byte order mark; with any line ends;
gzipped or not.
"""

import csv
import gzip
import io
import re
import tomllib
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from onhand.identifiers import flaw_of

from engine.load.problems import Problems, Where, nearest, shown
from engine.load.schema import FOLLOWS_FROM, Column, Named, Section, Table

FILE_BYTES_MAX: Final = 2 * 1024**3
"""Of a file, unpacked: a hundred million stock levels."""
DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
NOTHING: Final = "-"
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?')
_HEADER_CHARACTERS: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


# ---- text ------------------------------------------------------------------------------------------------------------


class _UnreadableError(Exception):
    """A file is no text: what was expected, and on which line."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def read_text(path: Path, name: str, problems: Problems) -> str | None:
    """Return the text of a file; None if it has none."""
    try:
        return _decoded(_read_bytes(path))
    except OSError as error:
        problems.add(Where(str(path)), f"cannot be read: {error.strerror or error}.")
    except _UnreadableError as error:
        problems.add(Where(name, error.line), str(error))
    return None


def _read_bytes(path: Path) -> bytes:
    """Return what a file holds, unpacked."""
    with path.open("rb") as file:
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        raw = _unpacked(file) if is_packed else file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise _UnreadableError(f"expected at most {FILE_BYTES_MAX} bytes, was more; give it in parts.")
    return raw


def _unpacked(file: BinaryIO) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            return packed.read(FILE_BYTES_MAX + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _UnreadableError(f"expected a whole gzip file, was a damaged one: {error}.") from error


def _decoded(raw: bytes) -> str:
    if raw.startswith(_ZIP):
        raise _UnreadableError("expected text, was a zip file or a spreadsheet; save it as CSV in UTF-8.")
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _undecodable(error, raw) from error
    if "\0" in text:
        was = "a NUL character, as in UTF-16 without a byte order mark"
        raise _UnreadableError(f"expected text, was {was}; save it as UTF-8.", _line_of(text, text.index("\0")))
    return text


def _undecodable(error: UnicodeDecodeError, raw: bytes) -> _UnreadableError:
    if raw.startswith(_UTF_16):
        return _UnreadableError(f"expected UTF-16, as the byte order mark says, was damaged: {error.reason}.")
    # Positions count from behind the byte order mark, as error.object does.
    line = _line_of(error.object[: error.start].decode(errors="replace"), error.start)
    return _UnreadableError(f"expected UTF-8, was the byte 0x{error.object[error.start]:02x}; save it as UTF-8.", line)


def _line_of(text: str, position: int) -> int:
    """Return the line, as an editor counts, of a position."""
    before = text[:position]
    return 1 + before.count("\n") + before.count("\r") - before.count("\r\n")


# ---- tables ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """One row of a table: what is given and good of it."""

    where: Where
    given: dict[str, Any]
    """Column -> value; a column that is absent, or empty in this row, is not in it."""

    def at(self, column: str) -> Where:
        """Return where a value of this row stands."""
        return self.where._replace(part=f"column {column}")


@dataclass(slots=True)
class Reader:
    """Reads one table, row by row, so that the longest is never in memory as a whole.

    Parameters
    ----------
    name
        What problems call the file.
    """

    table: Table
    name: str
    problems: Problems
    names: list[dict[Any, int]] = field(default_factory=list)
    """For each column of the key: the values that were read, also in rows that are wrong elsewhere."""
    bad_names: set[Any] = field(default_factory=set)
    """Of the rows that are wrong: the values of the key's first column."""
    is_open: bool = False
    """Whether some row, or the file, could not be read, so that what is not found may stand there."""

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the good rows."""
        self.names = [{} for _ in self.table.key]
        records = self._records(path)
        line, header = next(records, (0, None))
        if header is None or not self._header_is_good(line, header):
            self.is_open = True
            return
        columns = [(place, name, self.table.columns[name]) for place, name in enumerate(header)]
        for line, record in records:
            if len(record) != len(header):
                self._add(line, f"expected {len(header)} fields, was {len(record)}.")
                self.is_open = True
                continue
            given, is_good = self._values(line, record, columns)
            if not is_good:
                given = {name: _meant(text) for name, text in zip(header, record, strict=True)} | given
            for known, name in zip(self.names, self.table.key, strict=True):
                if given.get(name, "") != "":
                    known.setdefault(given[name], line)
                elif self.table.columns[name].is_required:
                    self.is_open = True
            if is_good:
                yield Row(Where(self.name, line), given)
            else:
                self.bad_names.add(given.get(self.table.key[0]))

    def is_whole(self, name: Any = None) -> bool:
        """Tell whether all rows could be read; with a name, all that begin with it."""
        return not self.is_open and not (self.bad_names if name is None else name in self.bad_names)

    def knows(self, name: str, value: Any) -> bool:
        """Tell whether a column of the key has a value, or may have it."""
        return self.is_open or value in self.names[self.table.key.index(name)]

    def _add(self, line: int, text: str, column: str = "") -> None:
        self.problems.add(Where(self.name, line, f"column {column}" if column else ""), text)

    def _values(
        self, line: int, record: Sequence[str], columns: Sequence[tuple[int, str, Column]]
    ) -> tuple[dict[str, Any], bool]:
        given: dict[str, Any] = {}
        is_good = True
        for place, name, column in columns:
            text, kind = record[place], column.kind
            if text == "" and not column.is_required:
                continue
            if text == NOTHING and kind.nothing is not None:
                given[name] = kind.nothing
                continue
            try:
                given[name] = kind.read(text)
            except ValueError as error:
                is_good = False
                expected = str(error) or kind.expected
                self._add(line, f"expected {expected}, was {shown(text)}.", name)
        return given, is_good

    def _header_is_good(self, line: int, header: list[str]) -> bool:
        known = self.table.columns
        is_good = True
        for place, name in enumerate(header):
            if name in header[:place]:
                problem = "this column is there twice."
            elif name in known:
                continue
            elif name in FOLLOWS_FROM:
                problem = f"not a column that can be loaded; {FOLLOWS_FROM[name]}."
            else:
                problem = f"not a known column; {nearest(name, known)}."
            is_good = False
            self._add(line, problem, shown(name) if name != name.strip() or not name.isprintable() else name)
        for name, column in known.items():
            if column.is_required and name not in header:
                is_good = False
                self._add(line, f"the column {name} is missing.")
        return is_good

    def _records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Split a file into its records, each with the physical line it starts on; empty lines are skipped."""
        text = read_text(path, self.name, self.problems)
        if text is None:
            return
        delimiter, first_line = self._delimiter(text)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        found = False
        while True:
            line = reader.line_num + 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                fields = f"{DELIMITERS.get(delimiter, shown(delimiter)).removesuffix('s')}-separated fields"
                self._add(line, f"expected {fields}, was not readable: {error}.")
                self.is_open = True
                return
            if record is None:
                break
            if record and line >= first_line:
                found = True
                yield line, record
        if not found:
            self.problems.add(Where(self.name), "expected a header row, was empty.")

    def _delimiter(self, text: str) -> tuple[str, int]:
        """Return what separates fields, as the header shows, and the line from which records count."""
        lines = io.StringIO(text[:_HEADER_CHARACTERS], newline=None)
        for number, line in enumerate(lines, start=1):
            if told := _SEPARATOR_LINE.fullmatch(line.strip("\r\n ")):  # as spreadsheets write it for themselves
                return told[1], number + 1
            if line.strip():
                break
        else:
            return ",", 1

        def found(delimiter: str) -> int:
            names = (name.strip(' \t\r\n"') for name in line.split(delimiter))
            return sum(name in self.table.columns for name in names)

        return max(DELIMITERS, key=found), 1


def _meant(text: str) -> str:
    """Return the identifier that somebody meant who gave blanks or characters that nobody sees with it."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(character for character in composed if not flaw_of(f"x{character}x")).strip()


# ---- settings --------------------------------------------------------------------------------------------------------


class Settings(NamedTuple):
    """A settings file: what is given and good of it, and where its keys stand."""

    given: dict[str, Any]
    where_of: "KeyFinder"
    is_whole: bool
    """Whether nothing was wrong with it."""


class KeyFinder:
    """Finds the lines of a TOML file on which its keys stand; the parser does not tell."""

    _HEADER: Final = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?")
    _KEY: Final = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
    _PART: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")

    def __init__(self, name: str, text: str = "") -> None:
        self._name = name
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.split("\n"), start=1):
            if header := self._HEADER.fullmatch(line):
                table = self._parts(header[1])
                self._lines.setdefault(table, number)
            elif key := self._KEY.match(line):
                self._lines.setdefault((*table, *self._parts(key[1])), number)

    def _parts(self, text: str) -> tuple[str, ...]:
        return tuple(part.strip("\"'") for part in self._PART.findall(text))

    def __call__(self, *path: str) -> Where:
        """Return where a key stands, or the table it is in."""
        told = ".".join(path)
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return Where(self._name, line, told)
        return Where(self._name, 0, told)


def read_settings(path: Path, name: str, section: Section, problems: Problems) -> Settings:
    """Read and check a TOML file."""
    text = read_text(path, name, problems)
    if text is None:
        return Settings({}, KeyFinder(name), is_whole=False)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        place = re.search(r"\(at line (\d+)", str(error))
        problems.add(Where(name, int(place[1]) if place else 0), f"expected TOML in UTF-8: {error}.")
        return Settings({}, KeyFinder(name), is_whole=False)
    finder = KeyFinder(name, text)
    walk = _Walk(finder, problems)
    given = walk.section((), content, section)
    return Settings(given, finder, walk.is_whole)


@dataclass(slots=True)
class _Walk:
    """Goes through a TOML file beside its schema."""

    where_of: KeyFinder
    problems: Problems
    is_whole: bool = True

    def _add(self, path: tuple[str, ...], text: str) -> None:
        self.is_whole = False
        self.problems.add(self.where_of(*path), text)

    def section(self, path: tuple[str, ...], content: Any, section: Section) -> dict[str, Any]:
        if not isinstance(content, dict):
            self._add(path, f"expected a table with {', '.join(section.keys)}, was {shown(content)}.")
            return {}
        for key in content.keys() - section.keys.keys():
            self._add((*path, key), f"not a known key; {nearest(key, section.keys)}.")
        for key, each in section.keys.items():
            if isinstance(each, Column) and each.is_required and key not in content:
                self._add((*path, key), f"expected {each.kind.expected_in_toml}, was not there.")
        return {
            key: value
            for key, each in section.keys.items()
            if key in content and (value := self._value((*path, key), content[key], each)) is not None
        }

    def _value(self, path: tuple[str, ...], value: Any, each: Column | Section | Named) -> Any:
        if isinstance(each, Section):
            return self.section(path, value, each)
        if isinstance(each, Named):
            return self._named(path, value, each.content)
        try:
            return each.kind.read_toml(value)
        except ValueError as error:
            self._add(path, f"expected {str(error) or each.kind.expected_in_toml}, was {shown(value)}.")
            return None

    def _named(self, path: tuple[str, ...], content: Any, each: Column | Section) -> Mapping[str, Any] | None:
        if not isinstance(content, dict):
            self._add(path, f"expected a table of names, such as [{'.'.join(path)}.NAME], was {shown(content)}.")
            return None
        found = {}
        for name, value in content.items():
            if flaw := flaw_of(name):
                self._add((*path, name), f"expected a name of {flaw}, was {shown(name)}.")
            found[_meant(name) if flaw else name] = self._value((*path, name), value, each)
        return {name: value for name, value in found.items() if value is not None}
