"""Signatures and encryption of WeChat Pay APIv3, written from its documentation and its published examples.

Source: pay.weixin.qq.com, APIv3 签名生成, 签名验证, 回调解密. Written apart from the client library on purpose: a
server that checks with the client's own code would agree with its mistakes.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEME = "WECHATPAY2-SHA256-RSA2048"
_PAIR = re.compile(r'^([a-z_]+)="([^"]*)"$')
_WANTED = {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}


@dataclass(frozen=True)
class Authorization:
    """The parts of a request's Authorization header."""

    mchid: str
    nonce_str: str
    signature: str
    timestamp: str
    serial_no: str


class BadAuthorization(Exception):
    """The Authorization header is missing a part or is of another scheme."""


def parse_authorization(header: str) -> Authorization:
    """Read the header's five parts, which come in any order; raises BadAuthorization."""
    scheme, _, rest = header.partition(" ")
    if scheme != SCHEME:
        raise BadAuthorization("scheme")
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        found = _PAIR.match(piece.strip())
        if found is None or found[1] in parts:
            raise BadAuthorization(piece.strip()[:20])
        parts[found[1]] = found[2]
    if parts.keys() != _WANTED:
        raise BadAuthorization(",".join(sorted(_WANTED ^ parts.keys())))
    return Authorization(**parts)


def request_message(*, method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """Return the five lines a merchant signs; an empty body still has its line."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def answer_message(*, timestamp: str, nonce: str, body: bytes) -> bytes:
    """Return the three lines WeChat Pay signs on answers and callbacks."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def sign(key: rsa.RSAPrivateKey, message: bytes) -> str:
    """Return the SHA-256 RSA (PKCS#1 v1.5) signature in Base64."""
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def verifies(key: rsa.RSAPublicKey, message: bytes, signature: str) -> bool:
    """Say whether `signature` (Base64) is of `message`."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def encrypt_resource(*, api_v3_key: str, nonce: str, associated_data: str, plain: bytes) -> str:
    """Return `ciphertext` of a callback: AES-256-GCM with the tag at its end, in Base64."""
    sealed = AESGCM(api_v3_key.encode()).encrypt(nonce.encode(), plain, associated_data.encode())
    return base64.b64encode(sealed).decode()
