"""`linli console`: who may sign in to the operator console at /admin."""

import getpass
import io
import sys

import click
import segno

from backend.cli.data import opened
from backend.console.service import people
from backend.core.errors import DomainError
from backend.core.settings import Settings


class Refused(click.ClickException):
    """The command was refused; nothing has changed."""

    def __init__(self, error: DomainError) -> None:
        super().__init__(f"{error.title('en')}. {error.detail('en')}")


def ask_password() -> str:
    """Return a password from the terminal, asked twice, or one line from standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise click.ClickException("The two were not the same; nothing has changed.")
    return first


def _show(enrolment: people.Enrolment) -> None:
    picture = io.StringIO()
    segno.make(enrolment.uri, error="l").terminal(out=picture, compact=True)
    click.echo(picture.getvalue())
    click.echo("Scan this with an authenticator app; it is shown once. By hand:")
    click.echo(f"  {enrolment.secret}\n  {enrolment.uri}")
    click.echo("Recovery codes, each works once in place of a code:")
    for code in enrolment.recovery_codes:
        click.echo(f"  {code}")


async def add_user(settings: Settings, *, username: str, phone: str, name: str, may_act: bool) -> int:
    """Add a person and print what their authenticator needs."""
    password = ask_password()
    async with opened(settings) as now:
        try:
            enrolment = await people.add_user(
                username=username, phone=phone, name=name, password=password, may_act=may_act, now=now
            )
        except DomainError as error:
            raise Refused(error) from error
    _show(enrolment)
    return 0


async def reset(settings: Settings, *, username: str, with_password: bool) -> int:
    """Give a person who lost it a new second factor, and a new password where asked; ends their sessions."""
    password = ask_password() if with_password else None
    async with opened(settings) as now:
        try:
            enrolment = await people.renew(username=username, password=password, now=now)
        except (DomainError, ValueError) as error:
            raise Refused(error) if isinstance(error, DomainError) else click.ClickException(str(error)) from error
    _show(enrolment)
    return 0


async def set_active(settings: Settings, *, username: str, active: bool) -> int:
    """Shut a person out at once, or let them in again."""
    async with opened(settings) as now:
        try:
            await people.set_active(username=username, active=active, now=now)
        except DomainError as error:
            raise Refused(error) from error
    click.echo(f"{username}: {'enabled and unlocked' if active else 'disabled, every session ended'}")
    return 0


async def list_users(settings: Settings) -> int:
    """Print every login."""
    async with opened(settings) as now:
        for person in await people.list_people():
            locked = person.locked_until is not None and person.locked_until > now
            words = [
                "may act" if person.may_act else "reads only",
                "" if person.active else "disabled",
                "" if person.enrolled else "no second factor",
                f"locked until {person.locked_until:%H:%M:%S}Z" if locked else "",
                f"last in {person.last_used_at:%Y-%m-%d %H:%M}Z" if person.last_used_at else "never in",
            ]
            click.echo(f"{person.username:<20} {', '.join(word for word in words if word)}")
    return 0
