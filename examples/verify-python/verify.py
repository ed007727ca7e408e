"""Lets in whoever has an access token of Latchkey; never calls Latchkey but for the public keys.

pip install 'pyjwt[crypto]'
AUTH_URL=http://localhost:3000 python verify.py TOKEN
"""
import os
import sys

import jwt

ISSUER = os.environ.get("AUTH_URL", "http://localhost:3000")
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


def verify(token: str) -> dict:
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["ES256"],
        issuer=ISSUER,
        audience="latchkey",
        options={"require": ["exp", "iat", "sub", "sid"]},
    )


if __name__ == "__main__":
    try:
        print(verify(sys.argv[1])["sub"])
    except jwt.PyJWTError as error:
        sys.exit(f"refused: {error}")
