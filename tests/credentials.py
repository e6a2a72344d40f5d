"""Content Credentials as tests make and judge them: a certificate of their own, c2pa-python's signer and verifier."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, COMPOSITE = f"{VOCABULARY}trainedAlgorithmicMedia", f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
DAY = timedelta(days=1)
#: A program that signs with the key whose file it is given.
SIGN = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))
"""


@dataclass(frozen=True)
class Identity:
    """Who signs: a certificate with its chain, and the key of it, in PEM."""

    certificate: str
    key: str
    authority: str

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The certificate and the key as files."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_text(self.certificate)
        key.write_text(self.key)
        return certificate, key


def identity(name: str = "Test Signer", *, since: timedelta = -DAY, until: timedelta = 30 * DAY) -> Identity:
    """A certificate that is valid from `since` to `until`, counted from now, by an authority of its own."""
    now = datetime.now(UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name(f"{name}'s authority")
    first, last = now - 400 * DAY, now + 400 * DAY
    authority = _certificate(issuer, issuer, authority_key, authority_key, first, last)
    own = _certificate(_name(name), issuer, key, authority_key, now + since, now + until)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(own + authority, secret.decode(), authority)


@cache
def provider() -> Identity:
    """The provider of pictures."""
    return identity("Test Provider")


def picture(format_: str, side: int = 64, seed: int = 0) -> bytes:
    """A picture that is another one for each seed."""
    shade = Image.linear_gradient("L").resize((side, side)).rotate(seed * 7)
    image = Image.merge("RGB", (shade, shade.rotate(90), Image.new("L", (side, side), seed % 256)))
    out = io.BytesIO()
    image.save(out, format_)
    return out.getvalue()


def with_credentials(
    data: bytes, media_type: str, term: str | None = MADE, by: Identity | None = None, parent: bytes | None = None
) -> bytes:
    """The picture with credentials of its provider, which state `term`."""
    by = by or provider()
    action = {"action": "c2pa.created", "digitalSourceType": term or f"{VOCABULARY}digitalCreation"}
    if term is None:
        action = {"action": "c2pa.created"}
    manifest = {
        "claim_generator_info": [{"name": "Provider", "version": "1"}],
        "assertions": [_actions(action)],
    }
    with _quiet() as context, c2pa.Builder.from_json(json.dumps(manifest), context) as builder:
        if parent is not None:
            builder.add_ingredient({"title": "before", "relationship": "componentOf"}, media_type, io.BytesIO(parent))
        out = io.BytesIO()
        with c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(b"es256", by.certificate.encode(), by.key.encode(), None)
        ) as signer:
            builder.sign(signer, media_type, io.BytesIO(data), out)
    return out.getvalue()


def with_credentials_elsewhere(data: bytes, media_type: str, address: str) -> bytes:
    """The picture with the address of its provider's credentials, which are not in it."""
    manifest = {"claim_generator_info": [{"name": "Provider"}], "assertions": [_actions({"action": "c2pa.created"})]}
    by, out = provider(), io.BytesIO()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", by.certificate.encode(), by.key.encode(), None))
    with _quiet() as context, c2pa.Builder.from_json(json.dumps(manifest), context) as builder, signer:
        builder.set_no_embed()
        builder.set_remote_url(address)
        builder.sign(signer, media_type, io.BytesIO(data), out)
    return out.getvalue()


def judged(data: bytes, media_type: str, *trusted: Identity) -> Mapping[str, Any] | None:
    """What a verifier says of a picture that trusts these and the provider; None where it has no credentials."""
    anchors = "".join(each.authority for each in (provider(), *trusted))
    settings = {
        "version": 1,
        "verify": {"remote_manifest_fetch": False, "verify_trust": True},
        "trust": {"user_anchors": anchors},
    }
    with c2pa.Context.from_dict(settings) as context:
        reader = c2pa.Reader.try_create(media_type, io.BytesIO(data), context=context)
        if reader is None:
            return None
        with reader:
            return {**json.loads(reader.json()), "state": reader.get_validation_state()}


def is_valid(data: bytes, media_type: str, *trusted: Identity) -> bool:
    """Whether a verifier accepts the picture's credentials and knows who signed them."""
    found = judged(data, media_type, *trusted)
    return found is not None and found["state"] == "Trusted" and not found.get("validation_status")


def _actions(action: Mapping[str, str]) -> Mapping[str, Any]:
    return {"label": "c2pa.actions", "data": {"actions": [action]}}


def _quiet() -> c2pa.Context:
    return c2pa.Context.from_dict(
        {"version": 1, "verify": {"verify_after_sign": False}, "builder": {"thumbnail": {"enabled": False}}}
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Recast's tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    first: datetime,
    last: datetime,
) -> str:
    authority = subject == issuer
    public = key.public_key()
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), first, last)
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if not authority:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, critical=False)
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        builder = builder.add_extension(mine, critical=False)
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
