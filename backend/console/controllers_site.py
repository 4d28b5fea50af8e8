"""The console itself: Piccolo Admin over the allowed tables, with our logins and forms. Building it takes seconds."""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from piccolo.apps.user.tables import BaseUser
from piccolo.columns import Column
from piccolo.engine import Engine
from piccolo.table import Table
from piccolo_admin.endpoints import AdminRouter, TableConfig, create_admin
from piccolo_api.change_password.endpoints import change_password
from piccolo_api.crud.endpoints import OrderBy
from piccolo_api.mfa.authenticator.provider import AuthenticatorProvider
from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider
from starlette.routing import Mount, Route

from backend.console import controllers_forms, controllers_money
from backend.console.projections import build_projections
from backend.console.rules.shown import TABLES, Shown
from backend.console.service.people import ISSUER, OurKey
from backend.console.tables import SESSION_AT_MOST, SESSION_FOR, ConsoleSecret, ConsoleSession, ConsoleUser

HERE = Path(__file__).parent
SITE_NAME = "邻里充电 运营控制台"
TRIES_IN_5_MIN = 20
"""Tries to sign in from one address; then it is refused for five minutes."""


class SecondFactor(AuthenticatorProvider):
    """Codes of an authenticator app; a wrong one counts towards the lock as a wrong password does."""

    async def authenticate_user(self, user: BaseUser, code: str) -> bool:
        """Say whether `code` is right for `user`."""
        user_id = int(user.id)
        right = await super().authenticate_user(user, code)
        if not right:
            await ConsoleUser.note_failure(user_id)
        return right and not await ConsoleUser.is_locked(user_id)


def configure(table: type[Table], shown: Shown) -> TableConfig:
    """Return how a table is listed: its first columns, newest rows first."""
    columns = table._meta
    return TableConfig(
        table,
        visible_columns=[columns.get_column_by_name(name) for name in shown.listed.split()],
        menu_group=shown.group,
        link_column=None if "id" in shown.listed.split() else _link(table, shown),
        order_by=[OrderBy(columns.get_column_by_name(shown.order), ascending=False)] if shown.order else None,
    )


def _link(table: type[Table], shown: Shown) -> Column | None:
    plain = (table._meta.get_column_by_name(name) for name in shown.listed.split())
    links = set(table._meta.foreign_key_columns)
    return next((column for column in plain if column not in links), None)


@lru_cache(maxsize=2)
def build_site(public_url: str, engine: Engine[Any]) -> AdminRouter:
    """Return the console under this address over this database, built once; asks the database nothing."""
    factor = SecondFactor(
        encryption_provider=OurKey(),
        secret_table=ConsoleSecret,
        issuer_name=ISSUER,
        register_template_path=str(HERE / "enrolled.html"),
        valid_window=1,
    )
    host = urlsplit(public_url).hostname or ""
    site: AdminRouter = create_admin(
        tables=[configure(table, TABLES[name]) for name, table in build_projections(engine).items()],
        forms=[*controllers_forms.forms(), controllers_forms.evidence_form(), *controllers_money.forms()],
        auth_table=ConsoleUser,
        session_table=ConsoleSession,
        session_expiry=SESSION_FOR,
        max_session_expiry=SESSION_AT_MOST,
        increase_expiry=SESSION_FOR,
        read_only=True,
        rate_limit_provider=InMemoryLimitProvider(timespan=300, limit=TRIES_IN_5_MIN, block_duration=300),
        production=True,  # without TLS, on this machine, the door takes "Secure" off again
        site_name=SITE_NAME,
        auto_include_related=False,
        allowed_hosts=[host],
        mfa_providers=[factor],
    )
    site.template = site.template.replace(
        "<title>Piccolo Admin</title>",
        f'<title>{SITE_NAME}</title>\n  <script src="./second-factor.js"></script>'
        '\n  <link rel="stylesheet" href="./read-only.css">',
    )
    _let_passwords_be_changed(site)
    logging.getLogger("piccolo_admin.endpoints").disabled = True  # told twice: a real fault is logged by core.problems
    return site


def _let_passwords_be_changed(site: AdminRouter) -> None:
    """Put the path back that `read_only` closes with the tables: everybody changes their own password."""
    guarded: Any = next(route.app for route in site.routes if isinstance(route, Mount) and route.path == "/api")
    endpoint = change_password(login_url="./../../public/login/", session_table=ConsoleSession, read_only=False)
    guarded.app.router.routes.insert(0, Route("/change-password/", endpoint, methods=["POST"]))
