"""From what the reference did to checks: the end state, what must not have changed, what was looked up.

Generated ids are never named, since they hash the call that made them: a new row is known by its other columns, and
whatever refers to it refers to that row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synthagent.schema.checks import All, Called, CallPattern, Changed, Check, State, Unchanged, UnchangedSpec
from synthagent.schema.tasks import CallStep, ReferenceStep
from synthagent.simulation.states import RowChange, Table
from synthagent.synthesis.executing import Run


class Outcomes:
    """The checks of one reference. Made once; cheap to ask."""

    def __init__(
        self, steps: Sequence[ReferenceStep], ran: Run, tables: Iterable[Table],
        prose: Mapping[int, set[str]] | None = None,
    ):  # fmt: skip
        """`prose`: step -> arguments that everybody words in their own way; their values are not compared."""
        self._steps, self._ran = steps, ran
        self._tables = {table.name: table for table in tables}
        self._prose = prose or {}
        self._rows: dict[tuple[str, tuple[Any, ...]], tuple[int, dict[str, Any]]] = {}
        """New rows as they end up, with the step that made them."""
        self._generated: dict[str, tuple[str, str, tuple[Any, ...]]] = {}
        """Generated id -> table, key column, key."""
        for step in sorted(ran.changes):
            for change in ran.changes[step]:
                self._note(step, change)

    def end_state(self, steps: Iterable[int]) -> Check:
        """Every row that these calls changed is as they left it, and nothing differs but what the reference changed."""
        states: list[Check] = []
        for step in steps:
            for change in self._ran.changes[step]:
                states.append(State(state=self._sql(step, change)))
        return All(all=(*states, self.untouched()))

    def untouched(self) -> Check:
        """Nothing differs from the initial state but what the reference's calls changed."""
        exempt: dict[str, Changed] = {}
        for step in sorted(self._ran.changes):
            for item in map(self._exemption, self._ran.changes[step]):
                name = repr((item.table, item.key))
                exempt[name] = _merged(exempt[name], item) if name in exempt else item
        return Unchanged(unchanged=UnchangedSpec(exempt=tuple(exempt.values())))

    def prose(self, step: int) -> set[str]:
        """The arguments of a step that everybody words in their own way."""
        return self._prose.get(step, set())

    def looked_up(self, step: int) -> Check:
        """The call was made with these arguments."""
        call = self._steps[step]
        assert isinstance(call, CallStep)
        given = self._ran.arguments[step]
        new = {name: value for name, value in given.items() if self._is_new(value)}
        args = {name: value for name, value in given.items() if name not in new}
        where = " AND ".join(f":{name} {self._equals(value)}" for name, value in new.items())
        return Called(called=CallPattern(tool=call.call, args=args, where=f"SELECT 1 WHERE {where}" if where else None))

    def _note(self, step: int, change: RowChange) -> None:
        place = (change.table, change.key)
        if change.before is None and change.after is not None:
            given = set(map(repr, self._ran.arguments[step].values()))
            for column in self._tables[change.table].key:
                value = change.after[column]
                if isinstance(value, str) and repr(value) not in given:
                    self._generated[value] = (change.table, column, change.key)
            self._rows[place] = (step, change.after)
        elif place in self._rows:
            if change.after is None:
                del self._rows[place]
            else:
                self._rows[place] = (self._rows[place][0], change.after)

    def _is_new(self, value: Any) -> bool:
        return isinstance(value, str) and value in self._generated

    def _equals(self, value: Any) -> str:
        """A comparison's right side: the value itself, or the ids of the rows that are like the one it was made for."""
        if not self._is_new(value):
            return f"IS {literal(value)}"
        table, column, key = self._generated[value]
        found = self._rows.get((table, key))
        if found is None:  # made and deleted again: nothing refers to it in the end
            return f"IS {literal(value)}"
        return f"IN (SELECT n.{_name(column)} FROM main.{_name(table)} n WHERE {self._like(table, *found)})"

    def _like(self, table: str, step: int, row: Mapping[str, Any]) -> str:
        """A condition for new rows that are like one: equal in all that was neither generated nor worded freely."""
        keys = self._tables[table].key
        given = set(map(repr, self._ran.arguments[step].values()))
        free = {v for name, v in self._ran.arguments[step].items() if name in self._prose.get(step, ())}
        own = {row[column] for column in keys if repr(row[column]) not in given}
        wanted = {column: value for column, value in row.items() if value not in free and value not in own}
        equal = "".join(f"n.{_name(column)} {self._equals(value)} AND " for column, value in wanted.items())
        same = " AND ".join(f"b.{_name(k)} IS n.{_name(k)}" for k in keys)
        return f"{equal}NOT EXISTS (SELECT 1 FROM base.{_name(table)} b WHERE {same})"

    def _sql(self, step: int, change: RowChange) -> str:
        name = _name(change.table)
        if change.before is None:
            assert change.after is not None
            return f"SELECT COUNT(*) = 1 FROM main.{name} n WHERE {self._like(change.table, step, change.after)}"
        keys = self._tables[change.table].key
        where = " AND ".join(f"{_name(k)} {self._equals(change.before[k])}" for k in keys)
        if change.after is None:
            return f"SELECT COUNT(*) = 0 FROM main.{name} WHERE {where}"
        free = {v for n, v in self._ran.arguments[step].items() if n in self._prose.get(step, ())}
        columns = [column for column in change.columns if change.after[column] not in free]
        equal = "".join(f" AND {_name(column)} {self._equals(change.after[column])}" for column in columns)
        return f"SELECT COUNT(*) = 1 FROM main.{name} WHERE {where}{equal}"

    def _exemption(self, change: RowChange) -> Changed:
        if change.before is None or any(self._is_new(part) for part in change.key):
            return Changed(table=change.table)
        key = {name: change.before[name] for name in self._tables[change.table].key}
        return Changed(table=change.table, key=key, columns=() if change.after is None else change.columns)


def _merged(one: Changed, two: Changed) -> Changed:
    """Both exemptions of one row as one; no columns means all of them."""
    if not one.columns or not two.columns:
        return one.model_copy(update={"columns": ()})
    return one.model_copy(update={"columns": tuple(dict.fromkeys((*one.columns, *two.columns)))})


def literal(value: Any) -> str:
    """A value as a SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
