"""Content Credentials of our own: results signed with the deployment's certificate, by the extra `c2pa` (c2pa-python).

A manifest names the provider's file as its parent where that was edited, or has credentials itself: what its provider
said stays readable, and was checked. It has no thumbnails. Two signatures of one picture differ, so a signed file is
stored under a key that comes from the provider's bytes and from what is said of them, and made once. A verdict comes
later, and changes: it is stated in a copy, with the stored file as its parent, each time that one is handed out.

Sources: C2PA specification 2.2 (actions, ingredients), c2pa-python 0.38 (settings, signers).
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from workers.config.extras import missing
from workers.config.settings import SettingsError
from workers.config.signing import Signing
from workers.images.results import SigningError
from workers.images.verifier import CONTEXT, EXTRA, Judged, Reviewed, judged

COMMAND_SECONDS: Final = 30.0  # a key in a service of the cloud answers in one
RELEASE: Final = "recast.release"  # the assertion with the digest of the release's reference
ACTION: Final = "recast.reviewed"  # C2PA has no action for a review; others are named by who defines them
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class Signer:
    """Signs pictures; safe to use from many threads.

    Args:
        settings: those with a certificate, and its key or command.

    Raises:
        SettingsError: the extra is missing, or the certificate or key cannot be used. A picture was signed to see that.
    """

    def __init__(self, settings: Signing) -> None:
        if lacking := missing(EXTRA):
            raise SettingsError(
                f"RECAST_C2PA_CERTIFICATE is set, but {lacking} is not installed; pip install 'recast-server[c2pa]'"
            )
        self._c2pa = import_module("c2pa")
        self._chain = _read(settings, "c2pa_certificate")
        self._certificate = _certificate(self._chain)
        self._fingerprint = hashlib.sha256(self._chain).hexdigest()
        self._algorithm = _algorithm(self._certificate)
        self._command = settings.c2pa_sign_command
        self._failed = threading.local()
        self._generator = {"name": "Recast", "version": version("recast-server")}
        self._context = self._c2pa.Context.from_dict(dict(CONTEXT))
        try:
            self._signer = self._made(settings)
            _require_valid(judged(self.sign(_TRIAL, "image/png", "x:trial", parent=_TRIAL), "image/png"))
        except (self._c2pa.C2paError, SigningError) as error:
            raise SettingsError(f"RECAST_C2PA_CERTIFICATE and its key cannot sign: {error}") from error

    @property
    def subject(self) -> str:
        """Whose certificate it is."""
        return self._certificate.subject.rfc4514_string()

    @property
    def until(self) -> datetime:
        """When the certificate ends."""
        return self._certificate.not_valid_after_utc

    def name(self, original_sha256: str, source_type: str, release: str | None) -> str:
        """The digest under which the signed file of a provider's file is stored, in place of its own."""
        said = ("1", original_sha256, source_type, _digest(release) if release else "", self._fingerprint)
        return _digest("\n".join(said))

    def sign(
        self, data: bytes, media_type: str, source_type: str, *, parent: bytes | None, release: str | None = None
    ) -> bytes:
        """The picture with credentials.

        Args:
            data: the picture, without credentials.
            media_type: of `data` and `parent`.
            source_type: what made it, a term of IPTC's vocabulary.
            parent: the provider's file, if the picture is an edit of it; None where nothing was before the picture.
            release: the reference of the release of the person shown; only its digest is written.

        Raises:
            SigningError: the certificate has ended, or the command failed.
        """
        assertions = [_actions("c2pa.created" if parent is None else "c2pa.edited", source_type)]
        if release:
            assertions.append({"label": RELEASE, "data": {"alg": "sha256", "hash": _digest(release)}})
        return self._signed(data, media_type, assertions, parent, "the provider's file")

    def reviewed(self, data: bytes, media_type: str, source_type: str, said: Reviewed) -> bytes:
        """A copy of a picture that `sign` made, with one more manifest, which states the verdict about it.

        Args:
            data: the picture as it is stored, which becomes the parent.
            media_type: of `data`.
            source_type: as for `sign`.
            said: the verdict.

        Raises:
            SigningError: the certificate has ended, or the command failed.
        """
        assertions = [_actions(ACTION, source_type, when=said.at), said.assertion()]
        return self._signed(data, media_type, assertions, data, "the picture as it was reviewed")

    def _signed(
        self, data: bytes, media_type: str, assertions: Sequence[Mapping[str, Any]], parent: bytes | None, title: str
    ) -> bytes:
        self._failed.reason = None
        manifest = {"claim_generator_info": [self._generator], "format": media_type, "assertions": assertions}
        out = io.BytesIO()
        try:
            with self._c2pa.Builder.from_json(json.dumps(manifest), self._context) as builder:
                if parent is not None:
                    self._add_parent(builder, parent, data, media_type, title)
                builder.sign(self._signer, media_type, io.BytesIO(data), out)
        except self._c2pa.C2paError as error:
            raise SigningError(self._failed.reason or str(error)) from error
        return out.getvalue()

    def _add_parent(self, builder: Any, parent: bytes, bare: bytes, media_type: str, title: str) -> None:
        builder.set_intent(self._c2pa.C2paBuilderIntent.EDIT)
        described = {"title": title, "relationship": "parentOf"}
        try:
            builder.add_ingredient(described, media_type, io.BytesIO(parent))
        except self._c2pa.C2paError:
            # Its credentials cannot even be read, so it has none.
            builder.add_ingredient(described, media_type, io.BytesIO(bare))

    def _made(self, settings: Signing) -> Any:
        if self._command is not None:
            kind = self._c2pa.C2paSigningAlg[self._algorithm.upper()]
            return self._c2pa.Signer.from_callback(self._commanded, kind, self._chain.decode())
        key = _read(settings, "c2pa_key")
        information = self._c2pa.C2paSignerInfo(self._algorithm.encode(), self._chain, key, None)
        return self._c2pa.Signer.from_info(information)

    def _commanded(self, data: bytes) -> bytes:
        """The signature that the command gives; why it gave none is kept for the caller, whom no exception reaches."""
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
                shlex.split(str(self._command)), input=data, capture_output=True, timeout=COMMAND_SECONDS, check=False
            )
        except (OSError, ValueError) as error:  # whose own words may repeat the command, which may hold a secret
            why = getattr(error, "strerror", None) or "its quotes do not match"
            self._failed.reason = f"RECAST_C2PA_SIGN_COMMAND cannot be run: {why}"
            raise
        except subprocess.TimeoutExpired:
            self._failed.reason = f"RECAST_C2PA_SIGN_COMMAND did not answer in {COMMAND_SECONDS:g} s"
            raise
        if done.returncode or not done.stdout:
            self._failed.reason = (
                f"RECAST_C2PA_SIGN_COMMAND ended with {done.returncode} and wrote {len(done.stdout)} bytes;"
                " it reads what is to be signed from its input, and writes the signature"
            )
            return b""
        return done.stdout


def _require_valid(said: Judged | None) -> None:
    if said is not None and not said.valid:
        mismatch = "claimSignature.mismatch" in said.problems
        raise SigningError(
            "the key is not the certificate's" if mismatch else f"verifiers say {', '.join(said.problems)}"
        )


def _read(settings: Signing, name: str) -> bytes:
    try:
        return bytes(getattr(settings, name).read_bytes())
    except OSError as error:  # the value may be the key itself, by mistake
        raise SettingsError(
            f"RECAST_{name.upper()} must name a file in PEM, and what it names cannot be read: {error.strerror}"
        ) from None


def _certificate(chain: bytes) -> x509.Certificate:
    """The first certificate of a chain, if it is valid now."""
    try:
        first, *_ = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise SettingsError("RECAST_C2PA_CERTIFICATE has no certificate in PEM; name a file with the chain") from error
    begins, ends, now = first.not_valid_before_utc, first.not_valid_after_utc, datetime.now(UTC)
    if not begins <= now <= ends:
        word = "ended" if now > ends else "begins"
        day = (ends if now > ends else begins).date()
        raise SettingsError(f"RECAST_C2PA_CERTIFICATE {word} on {day}; set one that is valid now")
    return first


def _algorithm(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name in _CURVES:
            return _CURVES[curve.name]
        case rsa.RSAPublicKey():
            return "ps256"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
    raise SettingsError("RECAST_C2PA_CERTIFICATE has a key that C2PA does not know; use ES256, PS256 or Ed25519")


def _actions(action: str, source_type: str, **more: str) -> dict[str, Any]:
    actions = [{"action": action, "digitalSourceType": source_type, **more}]
    return {"label": "c2pa.actions.v2", "data": {"actions": actions}}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _trial() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


_TRIAL: Final = _trial()
