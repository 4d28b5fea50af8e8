"""Tables of the operator console: its people, their sessions and second factors, and what they did.

Piccolo Admin asks these classes themselves to log in, to find a session and to check a code, so that the rules of
signing in live here: sessions are kept as a hash, five failures lock, a code works once. Hashing a password takes a
third of a second: it runs in a thread, for this process serves residents as well.
"""

import asyncio
import hashlib
import hmac
import secrets
import uuid
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import pyotp
from piccolo.apps.user.tables import BaseUser
from piccolo.columns import UUID, BigInt, Boolean, Bytea, Integer, SmallInt, Timestamptz, Varchar
from piccolo.table import Table
from piccolo_api.encryption.providers import EncryptionProvider
from piccolo_api.mfa.authenticator.tables import AuthenticatorSecret
from piccolo_api.mfa.recovery_codes import generate_recovery_code
from piccolo_api.session_auth.tables import SessionsBase

from backend.console.rules.passwords import MAX_LENGTH, MIN_LENGTH, find_fault
from backend.core import audit, db
from backend.core.ids import new_id

asked_at: ContextVar[datetime] = ContextVar("console_asked_at")
"""The instant of the request (or command) that is served: the libraries call without a clock."""

FAILURES_TO_LOCK = 5
LOCKED_FOR = timedelta(minutes=15)
SESSION_FOR = timedelta(minutes=30)
"""A session ends half an hour after its last use ..."""
SESSION_AT_MOST = timedelta(hours=12)
"""... and after a working day in any case."""
RECOVERY_ROUNDS = 50_000
"""Rounds of hashing a recovery code: it has 62 random bits, where a password needs the many rounds for having few."""
STEP_S = 30
"""Length of a code's life (RFC 6238); one step before and after is taken as well, for clocks that differ."""


async def note(action: str, account_id: uuid.UUID | None, detail: dict[str, Any] | None = None) -> None:
    """Write down what happened to a login of the console, in the audit log."""
    async with db.transaction():
        await audit.record(
            actor_id=account_id,
            actor_role="platform",
            action=f"console.{action}",
            object_kind="console_user",
            object_id=account_id or "",
            detail=detail or {},
            now=asked_at.get(),
        )


class ConsoleUser(BaseUser, tablename="console_user"):
    """A person of the platform who may sign in to the console: the account in whose name the services act."""

    account_id = UUID(unique=True)
    may_act = Boolean(default=False)
    failures = SmallInt(default=0)
    locked_until = Timestamptz(null=True, default=None)

    _min_password_length = MIN_LENGTH
    _max_password_length = MAX_LENGTH

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the id of the user with this name and password; None for any other, a locked and an inactive one.

        The answer and the time it takes are the same for all of them. A wrong password counts towards the lock.
        """
        row = await db.fetchrow("SELECT id, password FROM console_user WHERE username = $1 AND active", username[:100])
        if len(password) > MAX_LENGTH:
            password = ""
        _, rounds, salt, _ = (
            cls.split_stored_password(row["password"])
            if row is not None
            else ("", str(cls._pbkdf2_iteration_count), secrets.token_hex(16), "")
        )
        hashed = await asyncio.to_thread(cls.hash_password, password, salt, int(rounds))
        if row is None:
            return None
        if not hmac.compare_digest(hashed, row["password"]):
            await cls.note_failure(row["id"])
            return None
        return None if await cls.is_locked(row["id"]) else int(row["id"])

    @classmethod
    async def is_locked(cls, user_id: int) -> bool:
        """Say whether too many failures keep this user out now."""
        until = await db.fetchval("SELECT locked_until FROM console_user WHERE id = $1", user_id)
        return until is not None and until > asked_at.get()

    @classmethod
    async def note_failure(cls, user_id: int) -> None:
        """Count a wrong password or code; at the fifth in a row the login is locked for 15 minutes, and again at each
        one after that. Signing in with both factors starts the count anew.
        """
        row = await db.fetchrow(
            "UPDATE console_user SET failures = LEAST(failures + 1, 1000), locked_until ="
            " CASE WHEN failures + 1 >= $2 THEN $3 ELSE locked_until END WHERE id = $1 RETURNING failures, account_id",
            user_id,
            FAILURES_TO_LOCK,
            asked_at.get() + LOCKED_FOR,
        )
        if row is not None and row["failures"] >= FAILURES_TO_LOCK:
            await note("locked", row["account_id"], {"failures": row["failures"]})

    @classmethod
    async def update_password(cls, user: str | int, password: str) -> None:
        """Set another password; raises ValueError with what is wrong with it."""
        column = "username" if isinstance(user, str) else "id"
        row = await db.fetchrow(
            f"SELECT id, username, account_id FROM console_user WHERE {column} = $1",  # noqa: S608  one of two names
            user,
        )
        if row is None:
            raise ValueError("there is no such user")
        fault = find_fault(password=password, username=row["username"])
        if fault is not None:
            raise ValueError(fault)
        hashed = await asyncio.to_thread(cls.hash_password, password)
        async with db.transaction():
            await db.execute("UPDATE console_user SET password = $2 WHERE id = $1", row["id"], hashed)
            await note("password_changed", row["account_id"])


class ConsoleSecret(AuthenticatorSecret, tablename="console_secret"):
    """The second factor of a user: the shared secret, encrypted with our key, and hashed recovery codes."""

    last_step = BigInt(null=True, default=None)

    @classmethod
    async def create_new(
        cls, user_id: int, encryption_provider: EncryptionProvider, recovery_code_count: int = 8
    ) -> tuple["ConsoleSecret", list[str]]:
        """Give the user a new second factor, ending the one before and all sessions; returns the recovery codes too."""
        codes = [generate_recovery_code() for _ in range(recovery_code_count)]
        salt = secrets.token_hex(16)
        hashed = await asyncio.to_thread(
            lambda: [ConsoleUser.hash_password(code, salt, RECOVERY_ROUNDS) for code in codes]
        )
        made = cls(
            {
                cls.user_id: user_id,
                cls.secret: encryption_provider.encrypt(cls.generate_secret()),
                cls.recovery_codes: hashed,
                cls.created_at: asked_at.get(),
            }
        )
        async with db.transaction():
            await cls.revoke(user_id)
            await made.save()
            await note("enrolled", await _account_of(user_id))
        return made, codes

    @classmethod
    async def revoke(cls, user_id: int) -> None:
        """End the user's second factor, and with it every session: nothing but enrolling anew is left."""
        async with db.transaction():
            await db.execute(
                "UPDATE console_secret SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
                user_id,
                asked_at.get(),
            )
            await db.execute("DELETE FROM console_session WHERE user_id = $1", user_id)

    @classmethod
    async def authenticate(
        cls, user_id: int, code: str, encryption_provider: EncryptionProvider, valid_window: int = 1
    ) -> bool:
        """Say whether `code` is right: one of the authenticator, once and in order, or an unused recovery code."""
        async with db.transaction():
            row = await db.fetchrow(
                "SELECT id, secret, last_step FROM console_secret"
                " WHERE user_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1 FOR UPDATE",
                user_id,
            )
            if row is None:
                return False
            if len(code) <= 8:
                totp = pyotp.TOTP(encryption_provider.decrypt(row["secret"]), interval=STEP_S)
                present = int(asked_at.get().timestamp()) // STEP_S
                for step in range(present - valid_window, present + valid_window + 1):
                    if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()) and step > (
                        row["last_step"] or 0
                    ):
                        await db.execute("UPDATE console_secret SET last_step = $2 WHERE id = $1", row["id"], step)
                        return True
                return False
            return await cls._use_recovery_code(row["id"], code.strip())

    @classmethod
    async def _use_recovery_code(cls, secret_id: int, code: str) -> bool:
        left = await db.fetchval("SELECT recovery_codes FROM console_secret WHERE id = $1", secret_id)
        if not left or len(code) > MAX_LENGTH:
            return False
        _, rounds, salt, _ = ConsoleUser.split_stored_password(left[0])
        hashed = await asyncio.to_thread(ConsoleUser.hash_password, code, salt, int(rounds))
        if not any(hmac.compare_digest(hashed, known) for known in left):
            return False
        await db.execute(
            "UPDATE console_secret SET recovery_codes = array_remove(recovery_codes, $2),"
            " recovery_codes_used_at = array_append(recovery_codes_used_at, $3) WHERE id = $1",
            secret_id,
            hashed,
            asked_at.get(),
        )
        return True


class ConsoleSession(SessionsBase, tablename="console_session"):
    """A login of the console; the token in the cookie is kept as a hash, so that a copy of the table opens nothing."""

    token = Varchar(length=64, unique=True, secret=True)
    user_id = Integer(index=True)
    expiry_date = Timestamptz()
    max_expiry_date = Timestamptz()
    second_factor = Boolean(default=False)

    @classmethod
    async def create_session(
        cls, user_id: int, expiry_date: datetime | None = None, max_expiry_date: datetime | None = None
    ) -> "ConsoleSession":
        """Open a session; the dates that the library computes (without a time zone) are replaced by our own.

        Whether it was opened with a second factor is written down: without one it can do nothing but enrol.
        """
        now = asked_at.get()
        token = secrets.token_urlsafe(32)
        enrolled = await ConsoleSecret.is_user_enrolled(user_id)
        session = cls(
            token=hash_token(token),
            user_id=user_id,
            expiry_date=now + SESSION_FOR,
            max_expiry_date=now + SESSION_AT_MOST,
            second_factor=enrolled,
        )
        async with db.transaction():
            await session.save()
            if enrolled:
                await db.execute("UPDATE console_user SET failures = 0, locked_until = NULL WHERE id = $1", user_id)
            await note("signed_in", await _account_of(user_id), {"second_factor": enrolled})
        session.token = token
        return session

    @classmethod
    async def get_user_id(cls, token: str, increase_expiry: timedelta | None = None) -> int | None:
        """Return whose session this is, and put its end off; None where it is over or unknown."""
        now = asked_at.get()
        row = await db.fetchrow(
            "SELECT id, user_id, expiry_date FROM console_session"
            " WHERE token = $1 AND expiry_date > $2 AND max_expiry_date > $2",
            hash_token(token),
            now,
        )
        if row is None:
            return None
        if row["expiry_date"] - now < SESSION_FOR - timedelta(minutes=1):  # not one write for every click
            await db.execute("UPDATE console_session SET expiry_date = $2 WHERE id = $1", row["id"], now + SESSION_FOR)
        return int(row["user_id"])

    @classmethod
    async def remove_session(cls, token: str) -> None:
        """End a session."""
        await db.execute("DELETE FROM console_session WHERE token = $1", hash_token(token))


class ConsoleAction(Table, tablename="console_action"):
    """A form that was carried out: who, which, and a hash of what was filled in, so that a double click acts once."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(index=True)
    form = Varchar(length=80)
    filled_sha256 = Bytea()
    at = Timestamptz(index=True)


def hash_token(token: str) -> str:
    """Return what is kept of a session's token; it has 256 random bits, so that a plain hash will do."""
    return hashlib.sha256(token.encode()).hexdigest()


async def _account_of(user_id: int) -> uuid.UUID | None:
    return await db.fetchval("SELECT account_id FROM console_user WHERE id = $1", user_id)  # type: ignore[no-any-return]
