"""Access tokens: JWTs signed with the service's own ES256 key."""

from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from vmkeep.arm.errors import AuthenticationFailed
from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_guid

ALGORITHM = "ES256"
_LEEWAY_S = 5


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Makes and verifies tokens for one tenant.

    Issuer and audience are the tenant's own URN, whatever host name the client reached the service by.
    """

    key: ECKey
    tenant: str
    clock: Clock
    lifetime_s: int = 3600

    @property
    def issuer(self) -> str:
        """Who signs: this tenant."""
        return f"urn:vmkeep:{self.tenant}"

    def issue(self, client_id: str) -> str:
        """Return a token for a client whose secret was verified."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self.issuer,
            "tid": self.tenant,
            "oid": client_id,
            "sub": client_id,
            "appid": client_id,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s,
            "jti": new_guid(),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT", "kid": self.key.thumbprint()}, claims, self.key)

    def verify(self, token: str) -> str:
        """Return the id of the client a token was issued to; raises AuthenticationFailed."""
        now = int(self.clock.now().timestamp())
        rules = jwt.JWTClaimsRegistry(
            now=now,
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.issuer},
            exp={"essential": True},
            appid={"essential": True},
        )
        try:
            claims = jwt.decode(token, self.key, algorithms=[ALGORITHM]).claims
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise AuthenticationFailed(why=f"The access token is not valid: {error}.") from error
        return str(claims["appid"])

    def public_keys(self) -> dict[str, object]:
        """Return the JWK set that verifies the tokens."""
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "use": "sig", "alg": ALGORITHM, "kid": self.key.thumbprint()}]}
