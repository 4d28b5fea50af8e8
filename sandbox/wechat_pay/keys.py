"""Keys and merchants of the sandbox's WeChat Pay, made once and kept in the state folder."""

import os
import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant account with what the merchant platform would give out; `platform_public_key` is WeChat Pay's."""

    mchid: str
    appid: str
    cert_serial_no: str
    private_key: str
    api_v3_key: str
    platform_public_key_id: str
    platform_public_key: str

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the key of the merchant's certificate."""
        key = serialization.load_pem_private_key(self.private_key.encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("a merchant key is RSA")
        return key.public_key()


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the server knows from the start."""

    platform_private_key: str
    platform_public_key_id: str
    merchants: tuple[Merchant, ...]

    def platform_key(self) -> rsa.RSAPrivateKey:
        """Return the key WeChat Pay signs with."""
        key = serialization.load_pem_private_key(self.platform_private_key.encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the platform key is RSA")
        return key


def _new_private_key() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def new_keys(*, appid: str, merchants: int) -> Keys:
    """Make a platform key and `merchants` merchant accounts, all bound to `appid`."""
    platform_private, platform_public = _new_private_key()
    key_id = f"PUB_KEY_ID_0{secrets.randbelow(10**31):031d}"
    made = []
    for number in range(merchants):
        private, _ = _new_private_key()
        made.append(
            Merchant(
                mchid=f"19000{10001 + number}",
                appid=appid,
                cert_serial_no=secrets.token_hex(20).upper(),
                private_key=private,
                api_v3_key=secrets.token_hex(16),
                platform_public_key_id=key_id,
                platform_public_key=platform_public,
            )
        )
    return Keys(platform_private_key=platform_private, platform_public_key_id=key_id, merchants=tuple(made))


def load_keys(state_dir: Path, *, appid: str, merchants: int = 2) -> Keys:
    """Return the keys of the state folder, made at the first call (file mode 0600)."""
    path = state_dir / "wechat_pay_keys.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    keys = new_keys(appid=appid, merchants=merchants)
    state_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(msgspec.json.encode(keys))
    return keys
