"""The sandbox's Apple: a provider key (.p8) and a TLS certificate of its own authority, kept in the state folder."""

import datetime
import ipaddress
import os
import secrets
import ssl
import string
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ALPHABET = string.ascii_uppercase + string.digits


class ApnsKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files lie and what Apple's developer pages would say."""

    key_id: str
    team_id: str
    key_file: str
    ca_file: str
    certificate_file: str
    certificate_key_file: str

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the key that verifies provider tokens."""
        key = serialization.load_pem_private_key(Path(self.key_file).read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("a provider key is P-256")
        return key.public_key()

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS settings of the server: TLS 1.2 or later, HTTP/2 only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_file, self.certificate_key_file)
        context.set_alpn_protocols(["h2"])
        return context


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(
    *,
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    is_ca = issuer is None
    today = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=3650 if is_ca else 800))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not is_ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def load_keys(state_dir: Path) -> ApnsKeys:
    """Return the keys of the state folder, made at the first call (file modes 0600)."""
    folder = state_dir / "apns"
    index = folder / "keys.json"
    if index.exists():
        return msgspec.json.decode(index.read_bytes(), type=ApnsKeys)
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, server_key, provider_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = _certificate(subject="Linli sandbox authority", key=ca_key, issuer=None, issuer_key=ca_key)
    server = _certificate(subject="localhost", key=server_key, issuer=ca.subject, issuer_key=ca_key)
    keys = ApnsKeys(
        key_id="".join(secrets.choice(_ALPHABET) for _ in range(10)),
        team_id="".join(secrets.choice(_ALPHABET) for _ in range(10)),
        key_file=str(folder / "AuthKey.p8"),
        ca_file=str(folder / "ca.pem"),
        certificate_file=str(folder / "server.pem"),
        certificate_key_file=str(folder / "server.key"),
    )
    _write(Path(keys.key_file), _pem(provider_key))
    _write(Path(keys.ca_file), ca.public_bytes(serialization.Encoding.PEM))
    _write(Path(keys.certificate_file), server.public_bytes(serialization.Encoding.PEM))
    _write(Path(keys.certificate_key_file), _pem(server_key))
    _write(index, msgspec.json.encode(keys))
    return keys
