"""Rows out of generators: what fills the tables of a procedural world.

A generator is a mapping with one key: `id` and `code` (pattern: # digit, ? letter), `person`, `pick`, `int`, `cents`,
`date`, `date_from`, `time`, `bool`, `const`, `ref`, `text`. Everything is drawn from one seeded `Random`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from synthagent.errors import InputError
from synthagent.synthesis.procedural.domain import Domain, PerParent, TableSpec
from synthagent.synthesis.procedural.voice import FIRST_NAMES, LAST_NAMES

Row = dict[str, Any]
INTEGERS = ("int", "cents", "bool")
_PLACEHOLDER = re.compile(r"\{([a-z_]\w*(?:\.\w+)*)(?:\|(\w+))?\}")


def fill(template: str, names: Mapping[str, Any]) -> Any:
    """Replaces `{loan.title}` and `{until|spoken}`; a template that is one placeholder keeps the value's type.

    Raises `InputError` for a name that is not there.
    """
    whole = _PLACEHOLDER.fullmatch(template)
    if whole and not whole[2]:
        return _value(whole[1], names)
    return _PLACEHOLDER.sub(lambda match: _formatted(_value(match[1], names), match[2] or "plain"), template)


def _value(path: str, names: Mapping[str, Any]) -> Any:
    value: Any = names
    for part in path.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"nothing is called '{path}' in a template") from error
    return value


def _formatted(value: Any, style: str) -> str:
    if style == "money":
        return f"{value // 100}.{value % 100:02d}"
    if style == "spoken":
        return spoken(value)
    if style == "lower":
        return str(value).lower()
    return str(value)


def spoken(value: Any) -> str:
    """A value as people say it: 2031-05-23 is "23 May 2031"."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        day = date.fromisoformat(value)
        return f"{day.day} {day:%B} {day.year}"
    return str(value)


@dataclass
class Rows:
    """The rows of one world while it grows."""

    domain: Domain
    random: Random
    now: datetime
    tables: dict[str, list[Row]] = field(default_factory=dict)
    taken: dict[tuple[str, str], set[Any]] = field(default_factory=dict)

    def populate(self) -> None:
        """Fills every table with the rows that are only there to be passed over."""
        for name, spec in self.domain.tables.items():
            self.tables[name] = []
            if isinstance(spec.rows, PerParent):
                parents = self.tables[spec.rows.per]
                column = reference_to(spec, spec.rows.per)
                key = next(iter(self.domain.tables[spec.rows.per].columns))
                for parent in list(parents):
                    for _ in range(self.random.randint(*spec.rows.count)):
                        self.add(name, {column: parent[key]})
            else:
                for _ in range(self.random.randint(*spec.rows)):
                    self.add(name, {})

    def add(self, table: str, given: Mapping[str, Any], *, crowd: int = 0) -> Row:
        """Makes one row; `given` holds values or generators for some columns. `crowd` > 0 numbers unique words."""
        row: Row = {}
        for column, generator in self.domain.tables[table].columns.items():
            wanted = given.get(column, generator)
            row[column] = self.make(wanted, {"row": row}, table, column, crowd) if isinstance(wanted, dict) else wanted
        place = self.random.randint(0, len(self.tables[table]))
        self.tables[table].insert(place, row)
        return row

    def make(self, generator: Mapping[str, Any], names: Mapping[str, Any], table: str = "", column: str = "",
             crowd: int = 0) -> Any:  # fmt: skip
        """One value. Raises `InputError` for a generator that does not exist."""
        kind = next((key for key in generator if key in _KINDS), None)
        if kind is None:
            raise InputError(f"no generator among {sorted(generator)}; known: {', '.join(_KINDS)}")
        unique = kind in ("id", "person") or generator.get("unique", False)
        taken = self.taken.setdefault((table, column), set())
        for attempt in range(60):
            value = _KINDS[kind](self, generator, names)
            if crowd and unique and kind == "pick":
                value = f"{value} ({crowd + attempt})"
            banned = [fill(b, names) if isinstance(b, str) else b for b in _listed(generator.get("not", ()))]
            if value not in banned and not (unique and table and value in taken):
                if unique and table:
                    taken.add(value)
                return value
        raise InputError(f"{table}.{column}: cannot find one more distinct value for {dict(generator)}")

    def _pick(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> Any:
        words = generator["pick"]
        return self.random.choice(self.domain.words[words] if isinstance(words, str) else words)

    def _pattern(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> str:
        pattern = generator.get("id") or generator["code"]
        pattern = re.sub(r"#", lambda _: str(self.random.randint(0, 9)), pattern)
        return re.sub(r"\?", lambda _: self.random.choice("ABCDEFGHJKLMNPRSTUVWXYZ"), pattern)

    def _person(self, _: Mapping[str, Any], __: Mapping[str, Any]) -> str:
        return f"{self.random.choice(FIRST_NAMES)} {self.random.choice(LAST_NAMES)}"

    def _int(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> int:
        low, high, *step = generator.get("int") or generator["cents"]
        return self.random.randrange(low, high + 1, step[0] if step else 1)

    def _date(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> str:
        return (self.now.date() + timedelta(days=self.random.randint(*generator["date"]))).isoformat()

    def _date_from(self, generator: Mapping[str, Any], names: Mapping[str, Any]) -> str:
        day = date.fromisoformat(str(fill(generator["date_from"], names)))
        return (day + timedelta(days=self.random.randint(*generator["days"]))).isoformat()

    def _time(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> str:
        first, last, *step = generator["time"]
        minutes = self.random.randrange(first * 60, last * 60 + 1, step[0] if step else 30)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def _bool(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> int:
        return int(self.random.random() < generator["bool"])

    def _const(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> Any:
        return generator["const"]

    def _ref(self, generator: Mapping[str, Any], _: Mapping[str, Any]) -> Any:
        table = generator["ref"]
        key = next(iter(self.domain.tables[table].columns))
        return self.random.choice(self.tables[table])[key]

    def _text(self, generator: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
        row = names.get("row", {})
        return fill(generator["text"], {**row, **names})


_KINDS: dict[str, Any] = {
    "id": Rows._pattern, "code": Rows._pattern, "person": Rows._person, "pick": Rows._pick, "int": Rows._int,
    "cents": Rows._int, "date": Rows._date, "date_from": Rows._date_from, "time": Rows._time, "bool": Rows._bool,
    "const": Rows._const, "ref": Rows._ref, "text": Rows._text,
}  # fmt: skip


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def reference_to(spec: TableSpec, table: str) -> str:
    """The column of a table that refers to another one. Raises `InputError`."""
    for column, generator in spec.columns.items():
        if generator.get("ref") == table:
            return column
    raise InputError(f"no column refers to '{table}'")


def ddl_of(domain: Domain) -> str:
    """CREATE TABLE statements for a domain's tables."""
    statements = []
    for name, spec in domain.tables.items():
        columns = []
        for number, (column, generator) in enumerate(spec.columns.items()):
            integer = any(kind in generator for kind in INTEGERS) or isinstance(generator.get("const"), int)
            line = f"{column} {'INTEGER' if integer else 'TEXT'}"
            line += " PRIMARY KEY" if number == 0 else " NOT NULL"
            if "ref" in generator:
                line += f" REFERENCES {generator['ref']}"
            columns.append(line)
        statements.append(f"CREATE TABLE {name}({', '.join(columns)}) STRICT;")
    return "\n".join(statements)
