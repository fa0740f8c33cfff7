"""RSA key material: made, read, used. Private keys are PKCS #8 DER; numbers on the wire are JWK's (RFC 7518 §6.3)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from vmkeep.keyvault.errors import BadKeyInput

SIZES = (2048, 3072, 4096)
_EXPONENT = 65537


def _oaep(digest: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)


_PADDINGS = {
    "RSA-OAEP": _oaep(hashes.SHA1()),  # noqa: S303 - the standard's own name says SHA-1; OAEP does not need more
    "RSA-OAEP-256": _oaep(hashes.SHA256()),
}


def make(size: int) -> bytes:
    """Return a new private key of `size` bits; raises BadKeyInput."""
    if size not in SIZES:
        raise BadKeyInput(why=f"RSA keys have {', '.join(map(str, SIZES))} bits, not {size}.")
    return _write(rsa.generate_private_key(_EXPONENT, size))


def from_jwk(jwk: Mapping[str, Any]) -> bytes:  # JSON of any shape
    """Return the private key in a JWK; raises BadKeyInput."""
    if str(jwk.get("kty", "")).upper() != "RSA":
        raise BadKeyInput(why="Only RSA keys can be imported.")
    try:
        n, e, d, p, q = (_number(jwk[name]) for name in ("n", "e", "d", "p", "q"))
        public = rsa.RSAPublicNumbers(e, n)
        exponents = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
        key = rsa.RSAPrivateNumbers(p, q, d, *exponents, public).private_key()
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise BadKeyInput(why="The key is not a whole RSA private key (n, e, d, p, q).") from error
    if key.key_size not in SIZES:
        raise BadKeyInput(why=f"RSA keys have {', '.join(map(str, SIZES))} bits, not {key.key_size}.")
    return _write(key)


def public_jwk(private: bytes) -> dict[str, str]:
    """Return the public half as a JWK."""
    numbers = _read(private).public_key().public_numbers()
    return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}


def size_of(private: bytes) -> int:
    """Return how many bits a key has."""
    return _read(private).key_size


def encrypt(private: bytes, algorithm: str, plaintext: bytes) -> bytes:
    """Encrypt with the public half; raises BadKeyInput."""
    chosen = _padding(algorithm)
    try:
        return _read(private).public_key().encrypt(plaintext, chosen)
    except ValueError as error:
        raise BadKeyInput(why=f"The value is too long for this key and {algorithm}.") from error


def decrypt(private: bytes, algorithm: str, ciphertext: bytes) -> bytes:
    """Decrypt with the private half; raises BadKeyInput."""
    chosen = _padding(algorithm)
    try:
        return _read(private).decrypt(ciphertext, chosen)
    except ValueError as error:
        raise BadKeyInput(why="The value was not encrypted with this key and algorithm.") from error


def _padding(algorithm: str) -> padding.OAEP:
    found = _PADDINGS.get(algorithm.upper())
    if found is None:
        raise BadKeyInput(why=f"The algorithm is one of {', '.join(_PADDINGS)}, not '{algorithm}'.")
    return found


def _read(private: bytes) -> rsa.RSAPrivateKey:
    key = load_der_private_key(private, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - nothing else is ever sealed as a key
    return key


def _write(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _number(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _text(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
