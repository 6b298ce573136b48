"""Programs that follow from a tool's signature and the tables alone: what need not be asked is not asked twice.

A look-up whose parameters and outputs are columns of one table, and a change that names a row by its key and gives
columns new values, have one obvious program. It stands in where a teacher's own does not work, before it is sent back.
Tools and tables that disagree on a type are brought together too: a row's id is what its column says.
"""

from collections.abc import Mapping, Sequence

from synthagent.schema.tasks import Require, Return, Run, Step
from synthagent.synthesis.drafts import Kind, ToolDraft
from synthagent.synthesis.tables import TableDraft, TablesDraft

_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "TEXT": ("string", "date", "time", "list"),
    "INTEGER": ("integer", "boolean"),
    "REAL": ("number",),
}
"""Type of a column -> the kinds of a parameter that fit it, the plain one first."""


def agreed(tools: Sequence[ToolDraft], tables: TablesDraft) -> tuple[ToolDraft, ...]:
    """The tools with the types of the columns that their parameters and outputs are named after."""
    types: dict[str, set[str]] = {}
    for table in tables.tables:
        for column in table.columns:
            types.setdefault(column.name, set()).add(column.type)

    def kind(name: str, given: Kind) -> Kind:
        found = types.get(name, set())
        if len(found) != 1:
            return given
        fitting = _KINDS[next(iter(found))]
        return given if given in fitting else fitting[0]

    return tuple(
        tool.model_copy(
            update={
                "parameters": tuple(
                    p.model_copy(update={"type": kind(p.name.removeprefix("new_"), p.type)}) for p in tool.parameters
                ),
                "outputs": tuple(o.model_copy(update={"type": kind(o.name, o.type)}) for o in tool.outputs),
            }
        )
        for tool in tools
    )


def derived(tool: ToolDraft, tables: TablesDraft) -> tuple[Step, ...] | None:
    """The obvious program of a tool; None where there is not exactly one table that it can be about."""
    programs = [p for table in tables.tables if (p := _about(tool, table)) is not None]
    return programs[0] if len(programs) == 1 else None


def _about(tool: ToolDraft, table: TableDraft) -> tuple[Step, ...] | None:
    names = {column.name for column in table.columns}
    if not tool.parameters or not all(output.name in names for output in tool.outputs):
        return None
    return _read(tool, table, names) if tool.effect == "read" else _change(tool, table, names)


def _read(tool: ToolDraft, table: TableDraft, names: set[str]) -> tuple[Step, ...] | None:
    if not all(parameter.name in names for parameter in tool.parameters):
        return None
    where = " AND ".join(
        _equals(p.name, p.type) if p.required else f"(:{p.name} IS NULL OR {_equals(p.name, p.type)})"
        for p in tool.parameters
    )
    result = Return(query=_select(tool, table, where), shape="rows" if tool.returns == "list" else "row")
    if tool.returns == "list":
        return (result,)
    return Require(
        require=f'SELECT 1 FROM "{table.name}" WHERE {where}', otherwise=f"nothing found in {table.name}"
    ), result


def _change(tool: ToolDraft, table: TableDraft, names: set[str]) -> tuple[Step, ...] | None:
    keys = [column.name for column in table.columns if column.key]
    given = [parameter.name for parameter in tool.parameters]
    changed = {name: name.removeprefix("new_") for name in given if name not in keys}
    if not set(keys) <= set(given) or not changed or not set(changed.values()) <= names - set(keys):
        return None
    where = " AND ".join(f'"{key}" = :{key}' for key in keys)
    required = {parameter.name for parameter in tool.parameters if parameter.required}
    values = ", ".join(
        f'"{column}" = ' + (f":{name}" if name in required else f'coalesce(:{name}, "{column}")')
        for name, column in changed.items()
    )
    return (
        Require(require=f'SELECT 1 FROM "{table.name}" WHERE {where}', otherwise=f"no such record in {table.name}"),
        Run(run=f'UPDATE "{table.name}" SET {values} WHERE {where}'),
        Return(query=_select(tool, table, where), shape="rows" if tool.returns == "list" else "row"),
    )


def _select(tool: ToolDraft, table: TableDraft, where: str) -> str:
    columns = ", ".join(f'"{output.name}"' for output in tool.outputs)
    order = ", ".join(f'"{column.name}"' for column in table.columns if column.key)
    return f'SELECT {columns} FROM "{table.name}" WHERE {where} ORDER BY {order}'


def _equals(name: str, kind: Kind) -> str:
    return f'"{name}" = :{name}' + (" COLLATE NOCASE" if kind == "string" else "")
