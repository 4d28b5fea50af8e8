"""One-time codes by SMS: for logging in, for binding a phone, for signing an agreement.

A code has 6 digits, lives 5 minutes, bears 5 tries, works once, and only for the purpose and subject it was asked for.
It is stored hashed; in clear (encrypted) only until the worker has handed the SMS over. Sending is a job, so that the
answer takes the same time whatever the provider does, and is the same whether the number is known.
"""

import hmac
import ipaddress
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from backend.accounts.rules import limits
from backend.accounts.service import phones
from backend.accounts.store import codes as code_rows
from backend.core import crypto, db, jobs
from backend.core.clock import BEIJING
from backend.core.errors import DomainError, GatewayError, Invalid, TooMany
from backend.core.gateways import SmsGateway
from backend.core.ids import new_id

CodePurpose = Literal["login", "bind", "sign"]
LIFETIME = timedelta(minutes=5)
TRIES = 5


class SendCode(msgspec.Struct, frozen=True):
    """Payload of the job that hands a code's SMS over."""

    code_id: UUID


class SmsLimitReached(TooMany):
    """This number, or this client address, has asked for too many codes."""

    code = "sms_limit_reached"
    title_en = "Too many codes"
    title_zh = "验证码发送过于频繁"
    detail_en = "Another code can be sent at {again_at} Beijing time, in {retry_after_s} seconds."
    detail_zh = "请于北京时间 {again_at}（{retry_after_s} 秒后）再次获取验证码。"


class TooManyWrongCodes(TooMany):
    """Too many wrong codes came from this client address."""

    code = "too_many_wrong_codes"
    title_en = "Too many wrong codes from your network"
    title_zh = "验证码错误次数过多"
    detail_en = "Try again at {again_at} Beijing time, in {retry_after_s} seconds."
    detail_zh = "请于北京时间 {again_at}（{retry_after_s} 秒后）再试。"


class SmsCodeWrong(Invalid):
    """The code is not the one that was sent, or none is waiting, or it is over."""

    code = "sms_code_wrong"
    title_en = "The code is not right"
    title_zh = "验证码错误或已过期"
    detail_en = "Check the newest SMS. A code works once, for 5 minutes; ask for a new one if it is over."
    detail_zh = "请核对最新短信。验证码 5 分钟内有效且仅可使用一次，过期请重新获取。"


class SmsCodeSpent(Invalid):
    """Five wrong tries; this code is over."""

    code = "sms_code_spent"
    title_en = "Too many tries with this code"
    title_zh = "该验证码尝试次数已用完"
    detail_en = "Ask for a new code; after 5 wrong tries the old one is over."
    detail_zh = "错误次数达到 5 次，原验证码已失效，请重新获取。"


def _address_hash(address: str) -> bytes:
    """Return the hash that limits are counted by: an IPv6 client owns a /64, not an address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return crypto.lookup_hash(f"address:{address}")
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    if mapped is not None:
        parsed = mapped
    network = str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
    return crypto.lookup_hash(f"address:{network}")


def _hash_of(code_id: UUID, code: str) -> bytes:
    return crypto.lookup_hash(f"sms-code:{code_id}:{code}")


def _wait(kind: type[TooMany], again_at: datetime, now: datetime) -> TooMany:
    """Build the error that says when, rounded up to the second."""
    seconds = -int(-(again_at - now).total_seconds() // 1)
    return kind(
        retry_after_s=seconds,
        again_at=(now + timedelta(seconds=seconds)).astimezone(BEIJING).strftime("%m-%d %H:%M:%S"),
    )


async def request_code(
    *, phone: str, purpose: CodePurpose, subject_id: UUID | None = None, address: str, locale: str, now: datetime
) -> None:
    """Have a new code sent; the one before it is over. Raises PhoneInvalid, SmsLimitReached.

    One a minute for each purpose of a number, 5 an hour and 10 a day for all of them together, more per address. The
    limits hold under concurrent requests (advisory locks).
    """
    plain = phones.normalise(phone)
    phone_hash, address_hash = crypto.lookup_hash(plain), _address_hash(address)
    async with db.transaction():
        await code_rows.lock_sms_limits(keys=[phone_hash, address_hash])
        counted = (
            ("phone_hash", phone_hash, purpose, limits.SMS_PER_PURPOSE),
            ("phone_hash", phone_hash, None, limits.SMS_PER_PHONE),
            ("address_hash", address_hash, None, limits.SMS_PER_ADDRESS),
        )
        for column, value, of_purpose, rules in counted:
            since = now - limits.longest_window(rules)
            times = await code_rows.list_code_times(column=column, value=value, purpose=of_purpose, since=since)
            if (again_at := limits.next_allowed_at(times, rules, now)) is not None:
                raise _wait(SmsLimitReached, again_at, now)
        code_id, code = new_id(), f"{secrets.randbelow(1_000_000):06d}"
        await code_rows.add_code(
            values={
                "id": code_id,
                "purpose": purpose,
                "subject_id": subject_id,
                "phone_hash": phone_hash,
                "address_hash": address_hash,
                "phone_cipher": crypto.encrypt(plain),
                "code_cipher": crypto.encrypt(code),
                "code_hash": _hash_of(code_id, code),
                "locale": locale,
                "created_at": now,
                "expires_at": now + LIFETIME,
            }
        )
        await jobs.schedule("accounts.send_code", SendCode(code_id), due_at=now, now=now)


async def check_code(
    *, phone: str, purpose: CodePurpose, subject_id: UUID | None = None, code: str, address: str, now: datetime
) -> UUID:
    """Use a code up and return its id; raises PhoneInvalid, SmsCodeWrong, SmsCodeSpent, TooManyWrongCodes.

    Call it outside your own transaction: a wrong try must stay counted when the caller's work is rolled back.
    """
    phone_hash, address_hash = crypto.lookup_hash(phones.normalise(phone)), _address_hash(address)
    plain = unicodedata.normalize("NFKC", code).strip()
    async with db.transaction():
        outcome = await _try_code(phone_hash, address_hash, purpose, subject_id, plain, now)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


async def _try_code(
    phone_hash: bytes, address_hash: bytes, purpose: str, subject_id: UUID | None, code: str, now: datetime
) -> UUID | DomainError:
    """Decide about one try and store what it changes; the caller commits before it raises."""
    rules = limits.FAILURES_PER_ADDRESS
    await code_rows.lock_sms_limits(keys=[address_hash])
    failures = await code_rows.list_failure_times(address_hash=address_hash, since=now - limits.longest_window(rules))
    if (again_at := limits.next_allowed_at(failures, rules, now)) is not None:
        return _wait(TooManyWrongCodes, again_at, now)
    row = await code_rows.lock_latest_code(phone_hash=phone_hash, purpose=purpose, subject_id=subject_id)
    if row is not None and row["tries"] >= TRIES and row["expires_at"] > now:
        return SmsCodeSpent(field="code")
    if row is None or row["used_at"] is not None or row["expires_at"] <= now:
        await code_rows.add_failure(address_hash=address_hash, now=now)
        return SmsCodeWrong(field="code")
    if hmac.compare_digest(row["code_hash"], _hash_of(row["id"], code)):
        await code_rows.use_code(code_id=row["id"], now=now)
        found: UUID = row["id"]
        return found
    await code_rows.add_failure(address_hash=address_hash, now=now)
    await code_rows.count_try(code_id=row["id"])
    left = TRIES - row["tries"] - 1
    return SmsCodeWrong(field="code", tries_left=left) if left else SmsCodeSpent(field="code")


async def send_code(*, code_id: UUID, gateway: SmsGateway, now: datetime) -> Literal["sent", "dropped", "refused"]:
    """Hand the SMS of a code over (job; safe to repeat) and forget phone and code in clear.

    A code that is over is not sent any more. What the provider refuses for good is dropped too: the person asks again.
    Other GatewayErrors are raised, so that the job is tried again.
    """
    row = await code_rows.find_code(code_id=code_id)
    if row is None or row["code_cipher"] is None:
        return "dropped"
    outcome: Literal["sent", "dropped", "refused"] = "dropped"
    if row["expires_at"] > now and row["used_at"] is None:
        try:
            await gateway.send(
                phone=crypto.decrypt(row["phone_cipher"]),
                template=f"{row['purpose']}_code",
                params={"code": crypto.decrypt(row["code_cipher"])},
                locale=row["locale"],
            )
            outcome = "sent"
        except GatewayError as error:
            if not error.permanent:
                raise
            outcome = "refused"
    await code_rows.mark_code_sent(code_id=code_id, now=now)
    return outcome
