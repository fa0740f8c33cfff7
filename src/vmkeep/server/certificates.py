"""The service's own certificate authority and its server certificate, made at first start.

Files in the state folder: `ca.pem`, `ca-key.pem`, `server.pem` (certificate and CA), `server-key.pem`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmkeep.server.errors import KeyFileUnreadable
from vmkeep.server.state_dir import write_private

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=60)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are."""

    ca: Path
    ca_key: Path
    server: Path
    server_key: Path


def ensure_certificates(state_dir: Path, host_names: list[str], now: datetime) -> Certificates:
    """Make what is missing, near its end, or made for other names; raises KeyFileUnreadable.

    A new CA makes a new server certificate; clients that trust the old CA must be given the new one.
    """
    files = Certificates(
        ca=state_dir / "ca.pem",
        ca_key=state_dir / "ca-key.pem",
        server=state_dir / "server.pem",
        server_key=state_dir / "server-key.pem",
    )
    ca = _find_certificate(files.ca)
    if ca is None or not files.ca_key.exists() or _ends_soon(ca, now):
        ca = _make_ca(files, now)
    server = _find_certificate(files.server)
    names = _alternative_names(host_names)
    if (
        server is None
        or not files.server_key.exists()
        or _ends_soon(server, now)
        or server.issuer != ca.subject
        or _names_of(server) != names
    ):
        _make_server(files, ca, names, now)
    return files


def with_key_vaults(host_names: list[str]) -> list[str]:
    """Return the names with those of the key vaults below them; addresses have none."""
    below = [f"*.vault.{name}" for name in host_names if isinstance(_general_name(name), x509.DNSName)]
    return [*host_names, *below]


def _make_ca(files: Certificates, now: datetime) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vmkeep local CA {serial:x}"[:60])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject=name, issuer=name, key=key, now=now, life=CA_LIFE, serial=serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(files.ca_key, _key_pem(key))
    write_private(files.ca, _pem(certificate))
    return certificate


def _make_server(
    files: Certificates, ca: x509.Certificate, names: x509.SubjectAlternativeName, now: datetime
) -> None:
    ca_key = _read_key(files.ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vmkeep")])
    end = min(SERVER_LIFE, ca.not_valid_after_utc - now)
    certificate = (
        _builder(
            subject=subject, issuer=ca.subject, key=key, now=now, life=end, serial=x509.random_serial_number()
        )
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    write_private(files.server_key, _key_pem(key))
    write_private(files.server, _pem(certificate) + _pem(ca))


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, serial_number=serial)
        .public_key(key.public_key())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _alternative_names(host_names: list[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in sorted(set(host_names))])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _ends_soon(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now < RENEW_BEFORE


def _find_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise KeyFileUnreadable(path=str(path), why=str(error)) from error


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise KeyFileUnreadable(path=str(path), why=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileUnreadable(path=str(path), why="it is not an elliptic-curve key")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
