"""The tenant key of a VM, and the envelopes that carry secrets into the guest (docs/formats/wire.md §5)."""

import base64
import binascii
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)

from vmkeep.fabric.wire.errors import RequestRefused

TENANT_KEY_BITS = 2048
GUEST_KEY_BITS = range(1024, 4097)
GUEST_KEY_EXPONENTS = (3, 65537)
"""A guest's certificate costs us one encryption; odd keys could make it a long one."""

_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
"""Guests with a wrong clock must still accept it."""
_VALID_FOR = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A VM's RSA key with its self-signed certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(cls) -> "TenantKey":
        """Make a new key and certificate."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=TENANT_KEY_BITS)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vmkeep tenant")])
        certificate = (
            x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_VALID_FROM)
            .not_valid_after(_VALID_FROM + _VALID_FOR)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def from_pem(cls, pem: bytes) -> "TenantKey":
        """Read what `to_pem` wrote. Raises ValueError."""
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("not an RSA key")  # noqa: TRY004 - the content is wrong, not the call
        return cls(key, x509.load_pem_x509_certificate(pem))

    def to_pem(self) -> bytes:
        """Return key and certificate as one PEM text."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self.certificate.public_bytes(Encoding.PEM)

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the certificate, upper-case hex, as the agent names its files."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name, fixed by the agent

    def protect(self, settings: bytes) -> str:
        """Return `settings` readable by this VM's extensions only, as one line of base64."""
        return base64.b64encode(_seal_for(self.certificate, settings)).decode()

    def envelope_for(self, guest_certificate: x509.Certificate) -> str:
        """Return key and certificate readable by the holder of `guest_certificate`, base64 in lines of 64."""
        bundle = pkcs12.serialize_key_and_certificates(
            b"vmkeep", self.key, self.certificate, None, NoEncryption()
        )
        sealed = base64.b64encode(_seal_for(guest_certificate, bundle)).decode()
        return "\n".join(textwrap.wrap(sealed, 64))


def read_guest_certificate(header: str) -> x509.Certificate:
    """Return the transport certificate in a request header: base64 of DER. Raises RequestRefused (400)."""
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(header, validate=True))
        key = certificate.public_key()
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise RequestRefused(status=400, why="the transport certificate cannot be read") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in GUEST_KEY_BITS:
        raise RequestRefused(
            status=400, why="the transport certificate's key is not RSA of 1024 to 4096 bits"
        )
    if key.public_numbers().e not in GUEST_KEY_EXPONENTS:
        raise RequestRefused(status=400, why="the transport certificate's key has an odd exponent")
    return certificate


def _seal_for(certificate: x509.Certificate, data: bytes) -> bytes:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data).add_recipient(certificate)
    sealed = builder.set_content_encryption_algorithm(AES256)
    return sealed.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def certificates_document(incarnation: int, envelope: str) -> str:
    """Return the answer to a certificates request."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><CertificateFile><Version>2010-12-15</Version>'
        f"<Incarnation>{incarnation}</Incarnation><Format>Pkcs7BlobWithPfxContents</Format>"
        f"<Data>\n{envelope}\n</Data></CertificateFile>"
    )
