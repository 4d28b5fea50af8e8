"""The tables as the console sees them: classes with the allowed columns only.

What is not among a class's columns cannot be selected, filtered, sorted by or joined to, whatever a request asks for.
"""

from typing import Any

from piccolo.columns import UUID, Column, ForeignKey
from piccolo.columns.readable import Readable
from piccolo.engine import Engine
from piccolo.table import Table, create_table_class

from backend.console.rules.shown import LINKS, TABLES, Shown
from backend.core import db


def _column(name: str, source: Column, known: dict[str, type[Table]]) -> Column:
    target = LINKS.get(name)
    if target in known and type(source) is UUID and not source._meta.primary_key:
        return ForeignKey(references=known[target], null=True, index=False)
    return source.copy()


def _project(
    name: str, shown: Shown, source: type[Table], known: dict[str, type[Table]], engine: Engine[Any]
) -> type[Table]:
    columns = {
        column: _column(column, source._meta.get_column_by_name(column), known) for column in shown.columns.split()
    }
    made = create_table_class(source.__name__, class_kwargs={"tablename": name}, class_members=dict(columns))
    named_by = made._meta.get_column_by_name(shown.named_by)
    made.get_readable = classmethod(  # type: ignore[method-assign,assignment]
        lambda cls: Readable(template="%s", columns=[named_by])
    )
    made._meta.db = engine
    return made


def build_projections(engine: Engine[Any]) -> dict[str, type[Table]]:
    """Return the tables of the allow-list by name, bound to `engine`; raises ValueError for a column
    that is not there.
    """
    sources = {table._meta.tablename: table for table in db.all_tables()}
    known: dict[str, type[Table]] = {}
    for name, shown in TABLES.items():
        known[name] = _project(name, shown, sources[name], known, engine)
    return known
