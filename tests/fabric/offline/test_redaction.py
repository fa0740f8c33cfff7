import json

import pytest

from vmkeep.fabric.offline.redaction import MARK, redact

CANARY = "c4nary-Sup3r+Secr3t/=="
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + CANARY + "\nAAAA\n-----END RSA PRIVATE KEY-----\n"
TEXTS = {
    "private-key": KEY,
    "private-key-cut-off": KEY.partition("\n-----END")[0],
    "private-key-without-beginning": CANARY + "\n" + CANARY + KEY.partition("AAAA")[2] + "INFO a line\n",
    "password-hash": f"root:$6$salt${CANARY.split('+', maxsplit=1)[0]}.abcdef:19000:0:",
    "api-key": f"apiKey={CANARY}",
    "pwd": f'{{"dbPwd": "{CANARY}"}}',
    "protected-settings": json.dumps({"protectedSettings": CANARY, "x": 1}),
    "protected-settings-in-a-string": json.dumps({"settings": json.dumps({"protectedSettings": CANARY})}),
    "protected-settings-twice-in-a-string": json.dumps(json.dumps(json.dumps({"adminPassword": CANARY}))),
    "protected-settings-in-xml": f"<a>{{&quot;protectedSettings&quot;:&quot;{CANARY}&quot;}}</a>",
    "json-with-escaped-quote": json.dumps({"password": 'a"' + CANARY}),
    "xml-password": f"<ns1:UserPassword>{CANARY}</ns1:UserPassword>",
    "xml-custom-data": f"<CustomData>{CANARY}</CustomData>",
    "certificates-store": f"<CertificateFile><Data>\n{CANARY}\n</Data></CertificateFile>",
    "password-line": f"2026 INFO db_password = {CANARY}",
    "token-line": f"x-access-token: {CANARY}",
    "sas": f"GET https://x.blob/y?sv=2020&sig={CANARY.rstrip('=')}&se=1",
    "url-password": f"HttpProxy.Host=http://me:{CANARY.replace('/', '')}@proxy:3128",
    "bearer": f"Authorization: Bearer {CANARY}",
    "jwt": f"got eyJhbGciOiJIUzI1NiJ9.{CANARY.split('+', maxsplit=1)[0]}.abc",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_planted_secret_does_not_come_through(text: str) -> None:
    redacted, taken = redact(text)
    assert "c4nary" not in redacted
    assert MARK in redacted
    assert taken >= 1


def test_what_is_no_secret_stays() -> None:
    line = "2026-11-23T01:00:00.5Z INFO ExtHandler [HEARTBEAT] Agent WALinuxAgent-2.9.1.1 is running as the goal state agent"
    assert redact(line) == (line, 0)


@pytest.mark.parametrize(
    "hostile", ["password", '"password":"', "<Data>", "://", "a", "eyJaaaaaaaa.", "\\\\'token"]
)
def test_no_text_keeps_the_rules_busy(hostile: str) -> None:
    redact(hostile * (100_000 // len(hostile)))
