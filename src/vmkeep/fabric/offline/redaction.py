"""Takes secrets out of a guest's texts before they leave the host's hands.

The texts are a guest's, who may want to keep the host busy: every repetition that a rule can fail after is bounded.
"""

import re

MARK = "***redacted***"
_WORDS = (
    r"[\w.-]{0,40}(?:password|passwd|pwd|api_?key|passphrase|secret|token|protectedsettings|customdata|"
    r"private_?key|account_?key|shared_?key|access_?key|credential)[\w.-]{0,40}"
)
_RULES = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # a private key, also one that was cut off
        r"(?P<keep>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?=-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
        # the rest of one, in a text whose beginning was cut off
        r"(?P<keep>)\A(?:(?!-----BEGIN ).){1,8192}?(?=-----END [A-Z ]{0,40}PRIVATE KEY-----)",
        # XML: an element named for a secret; the certificates' encrypted store
        rf"(?P<keep><(?P<tag>(?:\w{{1,20}}:)?(?:{_WORDS}|Data))(?:\s[^<>]{{0,200}})?>)(?!\s{{0,80}}<).*?(?=</(?P=tag)>|\Z)",
        # JSON: a string, the same within a string or XML, anything else but a list or object
        rf"""(?P<keep>(?P<quote>["']){_WORDS}(?P=quote)\s{{0,8}}:\s{{0,8}}(?P=quote))(?:\\.|(?!(?P=quote)).)*""",
        rf"""(?P<keep>(?P<quote>\\{{1,16}}["']|&quot;){_WORDS}(?P=quote)\s{{0,8}}:\s{{0,8}}(?P=quote)).*?(?=(?P=quote)|\Z)""",
        rf"""(?P<keep>["']{_WORDS}["']\s{{0,8}}:\s{{0,8}})[^\s"'\[{{}},*]+""",
        # name=value and name: value
        rf"""(?P<keep>(?<![\w"'&;]){_WORDS}\s{{0,8}}[=:]\s{{0,8}}["']?)(?!\*)[^\s"'<>&,;]+""",
        r"(?P<keep>[?&;](?:sig|signature|code|key)=)[^\s&\"'<>]+",
        r"(?P<keep>://[^\s/:@]{0,256}:)[^\s/@]{1,256}(?=@)",
        r"(?P<keep>\b(?:Bearer|Basic)\s{1,8})[\w.~+/=-]{8,}",
        r"(?P<keep>\$(?:[1256y]|2[aby]|argon2\w{1,2})\$)[\w./$,=+-]{8,512}",  # a password's hash
        r"(?P<keep>)\beyJ[\w-]{8,4096}\.[\w-]{1,4096}(?:\.[\w-]*)?",
    )
)


def redact(text: str) -> tuple[str, int]:
    """Return a text without what looks like a secret, and how many were taken out."""
    taken = 0
    for rule in _RULES:
        text, times = rule.subn(lambda found: found["keep"] + MARK, text)
        taken += times
    return text, taken
