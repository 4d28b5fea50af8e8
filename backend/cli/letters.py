"""`linli letters`: refused device messages, listed and replayed."""

from collections.abc import Sequence

import click

from backend.cli.data import opened
from backend.core.errors import DomainError
from backend.core.settings import Settings
from backend.telemetry import letters


async def list_letters(settings: Settings, *, cause: str | None, limit: int) -> int:
    """Print the counts by cause, then the newest letters."""
    async with opened(settings):
        for count in await letters.count_causes():
            click.echo(f"{count.total:>10}  {count.cause:<18} last {count.last_at:%Y-%m-%d %H:%M:%S}Z")
        for letter in await letters.list_letters(cause=cause, limit=limit):
            tried = f" · {letter.replay_outcome}" if letter.replay_outcome else ""
            click.echo(
                f"{letter.id:>10}  {letter.received_at:%Y-%m-%d %H:%M:%S}Z  {letter.cause:<18} {letter.size:>6} B  "
                f"{letter.topic}  {letter.detail}{tried}"
            )
    return 0


async def replay_letters(settings: Settings, *, ids: Sequence[int], cause: str | None) -> int:
    """Replay letters oldest first; returns 1 when some were refused again."""
    refused = 0
    async with opened(settings) as now:
        wanted = list(ids)
        if cause is not None:
            found = await letters.list_letters(cause=cause, waiting=True, limit=10_000)
            wanted = [letter.id for letter in reversed(found)]
        for letter_id in wanted:
            try:
                outcome = (await letters.replay(letter_id=letter_id, now=now)).replay_outcome or ""
            except DomainError as error:
                outcome = error.detail("en") or error.title("en")
            refused += outcome not in (letters.STORED, letters.REPEAT)
            click.echo(f"{letter_id}: {outcome}")
    click.echo(f"{len(wanted)} tried, {refused} not taken.")
    return 1 if refused else 0
