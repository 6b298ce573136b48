"""From what the reference did to checks: the end state, what must not have changed, what was looked up and said."""

from collections.abc import Iterable, Mapping
from typing import Any

from synthagent.schema.checks import All, Called, CallPattern, Changed, Check, State, Unchanged, UnchangedSpec
from synthagent.simulation.world import RowChange, Table
from synthagent.synthesis.executing import Run


def end_state(run: Run, steps: Iterable[int], tables: Mapping[str, Table], prose: Mapping[int, set[str]]) -> Check:
    """Every row that these calls changed is as they left it, and nothing else in those tables changed.

    Generated ids are never named: a new row is known by its other columns.
    """
    states: list[Check] = []
    for step in steps:
        free = {v for name, v in run.arguments[step].items() if name in prose.get(step, ())}
        for change in run.changes[step]:
            states.append(State(state=_sql(change, tables[change.table], run.arguments[step], free)))
    return All(all=(*states, untouched(run)))


def untouched(run: Run) -> Check:
    """Nothing differs from the initial state but what the reference's calls changed."""
    exempt: dict[str, Changed] = {}
    for step in sorted(run.changes):
        for item in map(_exemption, run.changes[step]):
            name = repr((item.table, item.key))
            exempt[name] = _merged(exempt[name], item) if name in exempt else item
    return Unchanged(unchanged=UnchangedSpec(exempt=tuple(exempt.values())))


def _merged(one: Changed, two: Changed) -> Changed:
    """Both exemptions of one row as one; no columns means all of them."""
    if not one.columns or not two.columns:
        return one.model_copy(update={"columns": ()})
    return one.model_copy(update={"columns": tuple(dict.fromkeys((*one.columns, *two.columns)))})


def looked_up(tool: str, arguments: Mapping[str, Any]) -> Check:
    """The call was made with these arguments."""
    return Called(called=CallPattern(tool=tool, args=dict(arguments)))


def _exemption(change: RowChange) -> Changed:
    if change.before is None:
        return Changed(table=change.table)
    key = {name: change.before[name] for name in list(change.before)[: len(change.key)]}
    return Changed(table=change.table, key=key, columns=() if change.after is None else change.columns)


def _sql(change: RowChange, table: Table, arguments: Mapping[str, Any], free: set[Any]) -> str:
    name = _name(table.name)
    if change.before is None:
        assert change.after is not None
        given = set(map(repr, arguments.values()))
        wanted = {
            column: value
            for column, value in change.after.items()
            if value not in free and not (column in table.key and repr(value) not in given)
        }
        keys = " AND ".join(f"b.{_name(k)} IS n.{_name(k)}" for k in table.key)
        equal = " AND ".join(f"n.{_name(column)} IS {literal(value)}" for column, value in wanted.items())
        fresh = f"NOT EXISTS (SELECT 1 FROM base.{name} b WHERE {keys})"
        return f"SELECT COUNT(*) = 1 FROM main.{name} n WHERE {equal} AND {fresh}"
    where = " AND ".join(f"{_name(k)} IS {literal(change.before[k])}" for k in table.key)
    if change.after is None:
        return f"SELECT COUNT(*) = 0 FROM main.{name} WHERE {where}"
    columns = [column for column in change.columns if change.after[column] not in free]
    equal = " AND ".join(f"{_name(column)} IS {literal(change.after[column])}" for column in columns)
    return f"SELECT COUNT(*) = 1 FROM main.{name} WHERE {where}{' AND ' + equal if equal else ''}"


def literal(value: Any) -> str:
    """A value as a SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
