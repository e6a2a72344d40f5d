"""Settings of the signer: with a certificate, results get Content Credentials of the deployment's own."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings

from workers.config.paths import SomePath


class Signing(BaseSettings):
    """What results are signed with."""

    #: A certificate for C2PA with its chain, in PEM. Without one, results are marked in their metadata only.
    c2pa_certificate: SomePath | None = None
    #: The certificate's key, in PEM.
    c2pa_key: SomePath | None = None
    #: In place of the key: a command that reads what is to be signed, and writes the signature.
    c2pa_sign_command: str | None = None
    #: Whether stored pictures say in their metadata that a model made them.
    mark_synthetic: bool = True

    @model_validator(mode="after")
    def _signs_with_one_key(self) -> Self:
        keys = [name for name in ("c2pa_key", "c2pa_sign_command") if getattr(self, name) is not None]
        if self.c2pa_certificate is None and keys:
            raise ValueError(f"RECAST_{keys[0].upper()} is set without RECAST_C2PA_CERTIFICATE; set both or neither")
        if self.c2pa_certificate is not None and len(keys) != 1:
            raise ValueError(
                "RECAST_C2PA_CERTIFICATE needs its key: set RECAST_C2PA_KEY to a file or RECAST_C2PA_SIGN_COMMAND to a"
                " command, and not both"
            )
        if self.c2pa_certificate is not None and not self.mark_synthetic:
            raise ValueError(
                "RECAST_C2PA_CERTIFICATE signs what RECAST_MARK_SYNTHETIC=false says is not to be changed; remove one"
            )
        return self
