"""Where operator companies are paid: one active account per company and provider, keys checked before they count."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from backend.core import audit, db
from backend.core.errors import Conflict, Invalid
from backend.payments import store

FORMER_KEY_FOR = timedelta(days=2)
"""How long a platform key is still believed after it was replaced: WeChat Pay repeats a callback for a day."""
_NUMBER = re.compile(r"^[0-9A-Za-z_-]{6,40}$")


class MerchantTaken(Conflict):
    """The merchant number belongs to another operator company."""

    code = "merchant_account_taken"
    title_en = "Another company is paid at this merchant number"
    title_zh = "该商户号已属于其他服务商"


class MerchantInvalid(Invalid):
    """A part of a merchant account that cannot work."""

    code = "merchant_account_invalid"
    title_en = "The merchant account cannot be used"
    title_zh = "商户配置无效"
    detail_en = "`{field}`: {right}."
    detail_zh = "{field} 无效：{right}。"


async def put_merchant_account(
    *,
    operator_company_id: UUID,
    merchant_no: str,
    app_id: str,
    cert_serial_no: str,
    private_key: str,
    api_key: str,
    platform_key_id: str,
    platform_public_key: str,
    now: datetime,
    provider: str = "wechat_pay",
    actor_role: str = "service",
) -> UUID:
    """Set where an operator company is paid (secrets are stored encrypted); safe to repeat.

    Putting it again with other keys changes them: processes use them from the next call on, and the former platform
    key is believed in callbacks for two days more. Raises MerchantTaken, MerchantInvalid.
    """
    _check(merchant_no, private_key, api_key, platform_public_key, provider)
    async with db.transaction():
        account_id = await store.put_merchant(
            operator_company_id=operator_company_id,
            provider=provider,
            merchant_no=merchant_no,
            app_id=app_id,
            cert_serial_no=cert_serial_no.upper(),
            private_key=private_key,
            api_key=api_key,
            platform_key_id=platform_key_id,
            platform_public_key=platform_public_key,
            former_until=now + FORMER_KEY_FOR,
            now=now,
        )
        if account_id is None:
            raise MerchantTaken
        await audit.record(
            actor_id=None,
            actor_role=actor_role,
            action="merchant_account.set",
            object_kind="merchant_account",
            object_id=account_id,
            detail={
                "provider": provider,
                "merchant_no": merchant_no,
                "cert_serial_no": cert_serial_no.upper(),
                "platform_key_id": platform_key_id,
            },
            now=now,
            operator_company_id=operator_company_id,
        )
    return account_id


def _check(merchant_no: str, private_key: str, api_key: str, platform_public_key: str, provider: str) -> None:
    if not _NUMBER.match(merchant_no):
        raise MerchantInvalid(field="merchant_no", right="6 to 40 digits or letters, as the provider gave it")
    if provider == "wechat_pay" and len(api_key.encode()) != 32:
        raise MerchantInvalid(field="api_key", right="the APIv3 key, 32 characters")
    try:
        private = serialization.load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise MerchantInvalid(field="private_key", right="an RSA private key in PEM (apiclient_key.pem)")
    try:
        public = serialization.load_pem_public_key(platform_public_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, rsa.RSAPublicKey):
        raise MerchantInvalid(field="platform_public_key", right="an RSA public key in PEM (pub_key.pem)")
