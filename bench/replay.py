"""Plain SQL that inserts the very rows a run has inserted, in the same transactions: the limit of `booking`, `settle`.

Rows know their transaction (`xmin`). `collect` reads what is new since a copy of the database was made, and groups it;
`play` inserts group after group into the copy: prepared INSERTs, all constraints and triggers on, as many connections
as ours had. Rows that are gone again (jobs that ran) or only changed are not played: the limit is the faster for it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg


@dataclass(frozen=True)
class Table:
    """A table to be played: its columns, and whose rows must be there before its own."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def insert(self) -> str:
        """The INSERT of one row."""
        names = ", ".join(f'"{column}"' for column in self.columns)
        marks = ", ".join(f"${n}" for n in range(1, len(self.columns) + 1))
        return f'INSERT INTO "{self.name}" ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})'  # noqa: S608  catalogue names


Group = list[tuple[Table, tuple[Any, ...]]]

_TABLES = """
    SELECT c.relname AS name,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
        (SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a
         ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary) AS key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relispartition
"""
_REFERENCES = """
    SELECT c.relname AS child, p.relname AS parent,
        (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY AS k (num, n)
         JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num) AS columns,
        (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY AS k (num, n)
         JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num) AS target
    FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
    WHERE f.contype = 'f'
"""


async def collect(dsn: str, copy_dsn: str, *, without: Sequence[str] = ()) -> list[Group]:
    """Return the rows that are in the database and not in its copy, by transaction, parents before children."""
    ours, copy = await asyncpg.connect(dsn), await asyncpg.connect(copy_dsn)
    try:
        tables = [
            Table(row["name"], tuple(row["columns"]), tuple(row["key"] or ()))
            for row in await ours.fetch(_TABLES)
            if row["name"] not in without
        ]
        references = [dict(row) for row in await ours.fetch(_REFERENCES)]
        rows: dict[str, list[tuple[int, asyncpg.Record]]] = {}
        for table in tables:
            if not table.key:
                continue
            key = ", ".join(f'"{column}"' for column in table.key)
            names = ", ".join(f'"{column}"' for column in table.columns)
            known = {tuple(row) for row in await copy.fetch(f'SELECT {key} FROM "{table.name}"')}  # noqa: S608
            found = await ours.fetch(f'SELECT xmin::text::bigint AS xmin_, {names} FROM "{table.name}"')  # noqa: S608
            fresh = [(r["xmin_"], r) for r in found if tuple(r[column] for column in table.key) not in known]
            if fresh:
                rows[table.name] = fresh
    finally:
        await ours.close()
        await copy.close()
    by_name = {table.name: table for table in tables}
    moved = _before_children(rows, references)
    order = _parents_first(list(rows), references)
    groups: dict[int, Group] = defaultdict(list)
    for name in order:
        table = by_name[name]
        for (_, row), transaction in zip(rows[name], moved[name], strict=True):
            groups[transaction].append((table, tuple(row[column] for column in table.columns)))
    return [groups[transaction] for transaction in sorted(groups)]


def _before_children(
    rows: dict[str, list[tuple[int, asyncpg.Record]]], references: list[dict[str, Any]]
) -> dict[str, list[int]]:
    """The transaction of each row; one that was changed later is put where its first child was inserted."""
    moved = {name: [transaction for transaction, _ in found] for name, found in rows.items()}
    for _ in range(4):
        for reference in references:
            child, parent = reference["child"], reference["parent"]
            if child not in rows or parent not in rows or child == parent:
                continue
            index = {tuple(row[c] for c in reference["target"]): n for n, (_, row) in enumerate(rows[parent])}
            for number, (_, row) in enumerate(rows[child]):
                at = index.get(tuple(row[c] for c in reference["columns"]))
                if at is not None:
                    moved[parent][at] = min(moved[parent][at], moved[child][number])
    return moved


def _parents_first(names: list[str], references: list[dict[str, Any]]) -> list[str]:
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for reference in references:
            if reference["child"] == name and reference["parent"] in names and reference["parent"] != name:
                visit(reference["parent"])
        ordered.append(name)

    for name in sorted(names):
        visit(name)
    return ordered


async def play(dsn: str, groups: Sequence[Group], *, connections: int) -> float:
    """Insert all groups, each in its own transaction; returns the seconds it took."""
    waiting = iter(groups)
    pool = await asyncpg.create_pool(dsn, min_size=connections, max_size=connections)

    async def work() -> None:
        async with pool.acquire() as connection:
            for group in waiting:
                async with connection.transaction():
                    for table, values in group:
                        await connection.execute(table.insert(), *values)

    try:
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(connections)))
        return time.perf_counter() - began
    finally:
        await pool.close()


def describe(groups: Sequence[Group]) -> str:
    """How many rows of which table, for the figure's line."""
    counts: dict[str, int] = defaultdict(int)
    for group in groups:
        for table, _ in group:
            counts[table.name] += 1
    return ",".join(f"{name}:{n}" for name, n in sorted(counts.items()))
