"""The certificate of a server."""

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Tls(BaseModel):
    """Files with which a server encrypts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path = Field(description="PEM file of the certificate and its chain.")
    key: Path = Field(description="PEM file of the certificate's key.")


def given_tls(certificate: Path | None, key: Path | None) -> Tls | None:
    """Return what two options name; None where neither is given.

    Raises:
        ValueError: only one is given, a file cannot be read, or the two do not belong together.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--tls-certificate" if certificate is None else "--tls-key"
        raise ValueError(f"{missing} is missing: a certificate and its key are given together")
    for option, file in (("--tls-certificate", certificate), ("--tls-key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise ValueError(f"{option} {file} cannot be read: {error.strerror}") from None
    try:
        # No password is asked for: there is nobody to type one when a server starts again.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"--tls-certificate {certificate} and --tls-key {key} are no certificate and its key in PEM, "
            f"without a password: {error}"
        ) from None
    return Tls(certificate=certificate.absolute(), key=key.absolute())
