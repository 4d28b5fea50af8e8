"""Who may sign in to the console: added and helped by whoever runs the service, with the `linli console` commands."""

import base64
import re
from datetime import datetime, timedelta

import msgspec
import pyotp
from piccolo_api.encryption.providers import EncryptionProvider

from backend.accounts import service as accounts
from backend.console.rules.passwords import find_fault
from backend.console.tables import ConsoleSecret, ConsoleUser, asked_at, note
from backend.core import crypto, db
from backend.core.errors import Conflict, Invalid, NotFound

ISSUER = "Linli console"
"""How the second factor is called in an authenticator app."""
_USERNAME = re.compile(r"[a-z][a-z0-9._-]{2,39}")
KEEP_ACTIONS = timedelta(days=7)


class UsernameWrong(Invalid):
    """The user name is none."""

    code = "console_username_wrong"
    title_en = "The user name cannot be used"
    title_zh = "用户名不可用"
    detail_en = "Take 3 to 40 of a-z, 0-9, '.', '_', '-', beginning with a letter."
    detail_zh = "请使用 3 至 40 个字符：a-z、0-9、“.”、“_”、“-”，以字母开头。"


class PasswordWeak(Invalid):
    """The password does not follow the rules."""

    code = "console_password_weak"
    title_en = "The password cannot be used"
    title_zh = "密码不可用"
    detail_en = "{why}."
    detail_zh = "{why}。"


class UserExists(Conflict):
    """There is such a user, or the person has a login already."""

    code = "console_user_exists"
    title_en = "There is such a user"
    title_zh = "用户已存在"
    detail_en = "The user name is taken, or the person with this phone has a login already."
    detail_zh = "用户名已被占用，或该手机号对应的人员已有登录账号。"


class OurKey(EncryptionProvider):
    """Encrypts the second factors with the service's data keys (core.crypto), so that keys rotate in one place."""

    def __init__(self) -> None:
        super().__init__(prefix="linli")

    def encrypt(self, value: str, add_prefix: bool = True) -> str:
        """Return `value` encrypted, as text."""
        text = base64.b64encode(crypto.encrypt(value)).decode()
        return self.add_prefix(text) if add_prefix else text

    def decrypt(self, encrypted_value: str, has_prefix: bool = True) -> str:
        """Return what `encrypt` was given; raises Undecryptable."""
        text = self.remove_prefix(encrypted_value) if has_prefix else encrypted_value
        return crypto.decrypt(base64.b64decode(text))


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What a new second factor is put into an authenticator app with; shown once, kept nowhere in the clear."""

    uri: str
    secret: str
    recovery_codes: list[str]


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A login of the console."""

    username: str
    active: bool
    may_act: bool
    locked_until: datetime | None
    enrolled: bool
    last_used_at: datetime | None


async def add_user(*, username: str, phone: str, name: str, password: str, may_act: bool, now: datetime) -> Enrolment:
    """Add a person with both factors; raises UsernameWrong, PasswordWeak, UserExists, PhoneInvalid.

    The account of this phone is the person in whose name the services act, so that somebody who is also staff of a
    company cannot be their own second person.
    """
    asked_at.set(now)
    if not _USERNAME.fullmatch(username):
        raise UsernameWrong(field="username")
    check_password(username=username, password=password)
    async with db.transaction():
        account_id = await accounts.ensure_account(phone=phone, name=name, now=now)
        user_id = await db.fetchval(
            "INSERT INTO console_user (username, password, email, active, admin, superuser, account_id, may_act,"
            " failures) VALUES ($1, $2, $1, true, true, false, $3, $4, 0) ON CONFLICT DO NOTHING RETURNING id",
            username,
            ConsoleUser.hash_password(password),
            account_id,
            may_act,
        )
        if user_id is None:
            raise UserExists(username=username)
        await note("user_added", account_id, {"may_act": may_act})
        return await _enrol(user_id, username)


def check_password(*, username: str, password: str) -> None:
    """Say whether this password may be used; raises PasswordWeak."""
    fault = find_fault(password=password, username=username)
    if fault is not None:
        raise PasswordWeak(field="password", why=fault)


async def renew(*, username: str, password: str | None, now: datetime) -> Enrolment:
    """Give a person who lost it a new second factor (and password, where given); unlocks, ends every session.

    Raises NotFound, PasswordWeak.
    """
    asked_at.set(now)
    async with db.transaction():
        user_id = await _find(username)
        await db.execute("UPDATE console_user SET failures = 0, locked_until = NULL WHERE id = $1", user_id)
        if password is not None:
            check_password(username=username, password=password)
            await ConsoleUser.update_password(user_id, password)
        return await _enrol(user_id, username)


async def set_active(*, username: str, active: bool, now: datetime) -> None:
    """Let a person in again, or shut them out at once, with every session of theirs; raises NotFound."""
    asked_at.set(now)
    async with db.transaction():
        user_id = await _find(username)
        account_id = await db.fetchval(
            "UPDATE console_user SET active = $2, failures = 0, locked_until = NULL WHERE id = $1 RETURNING account_id",
            user_id,
            active,
        )
        await db.execute("DELETE FROM console_session WHERE user_id = $1", user_id)
        await note("user_enabled" if active else "user_disabled", account_id)


async def list_people() -> list[PersonView]:
    """Return every login, by user name."""
    rows = await db.fetch(
        "SELECT u.username, u.active, u.may_act, u.locked_until,"
        " EXISTS (SELECT 1 FROM console_secret c WHERE c.user_id = u.id AND c.revoked_at IS NULL) AS enrolled,"
        " (SELECT max(a.at) FROM audit_entry a WHERE a.object_kind = 'console_user' AND a.action ="
        "  'console.signed_in' AND a.object_id = u.account_id::text) AS last_used_at"
        " FROM console_user u ORDER BY u.username"
    )
    return [PersonView(**dict(row)) for row in rows]


async def sweep(*, now: datetime) -> None:
    """Forget sessions that are over, and what only stops double clicks."""
    await db.execute("DELETE FROM console_session WHERE expiry_date < $1 OR max_expiry_date < $1", now)
    await db.execute("DELETE FROM console_action WHERE at < $1", now - KEEP_ACTIONS)


async def _find(username: str) -> int:
    user_id = await db.fetchval("SELECT id FROM console_user WHERE username = $1", username)
    if user_id is None:
        raise NotFound(kind="console_user")
    return int(user_id)


async def _enrol(user_id: int, username: str) -> Enrolment:
    made, codes = await ConsoleSecret.create_new(user_id, OurKey())
    secret = OurKey().decrypt(made.secret)
    uri = pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)
    return Enrolment(uri=uri, secret=secret, recovery_codes=codes)
