"""Take secrets out of text. Applied to every line that is read, so that no report can hold one.

What may not be here: anything but text in, text out. A secret's place is kept visible (`[redacted]`), and so is
everything around it, because the line is evidence.
"""

import re
from functools import cached_property

MARK = "[redacted]"

# Cheap texts of which one is in every line that a pattern below could change: most lines stop here.
_HINTS = re.compile(
    r"://|@|token|passw|passphrase|secret|api|key|credential|bearer|basic |akia|asia|hf_|gh[pousr]_|github_pat|glpat|"
    r"sk-|xox|aiza|eyj|begin |cookie|wandb|npm_|pypi-",
    re.IGNORECASE,
)


class _Lazy:
    """A regular expression that is compiled when it is first needed: most texts have nothing to hide."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._pattern, self._flags = pattern, flags

    @cached_property
    def re(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self._pattern, self._flags)


_WHOLE = _Lazy(
    r"""
    (?<![A-Za-z0-9])(?:
      (?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{16}(?![A-Z0-9])            # AWS key ids
    | hf_[A-Za-z0-9]{16,200}                                          # Hugging Face
    | api_org_[A-Za-z0-9]{16,200}
    | gh[pousr]_[A-Za-z0-9]{16,255}                                   # GitHub
    | github_pat_[A-Za-z0-9_]{16,255}
    | glpat-[A-Za-z0-9_-]{16,200}                                     # GitLab
    | sk-[A-Za-z0-9_-]{16,200}                                        # OpenAI, Anthropic
    | xox[abposr]-[A-Za-z0-9-]{10,200}                                # Slack
    | AIza[A-Za-z0-9_-]{30,60}                                        # Google
    | npm_[A-Za-z0-9]{30,60}
    | pypi-[A-Za-z0-9_-]{16,300}
    | eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{2,4000}  # JSON web tokens
    )
    """,
    re.VERBOSE,
)

# scheme://user:password@host; the user's name stays unless it is all that there is (a token as the user name).
_URL = _Lazy(r"\b([A-Za-z][A-Za-z0-9+.-]{1,20}://)([^\s/@:'\"]{0,200})(?::([^\s/@'\"]{1,400}))?@")

_NAME = (
    r"[A-Za-z0-9_.-]{0,60}(?:token|passwd|password|passphrase|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|"
    r"private[_-]?key|client[_-]?key|auth[_-]?key|credentials?|wandb_key|master_key|session_key)[A-Za-z0-9_]{0,20}"
)
# A word like "tokens" that counts something is no secret: plain numbers and words of the field are let through.
_ASSIGNED = _Lazy(
    rf"(?P<name>(?<![A-Za-z0-9_]){_NAME})(?P<mid>['\"]?\s{{0,4}}(?:=>|[=:])\s{{0,4}}|\s{{1,4}}(?=['\"]))"
    r"(?P<quote>['\"]?)(?P<value>[^\s'\",;&|)}\]]{1,4000})",
    re.IGNORECASE,
)
_OPTION = _Lazy(
    r"(?P<name>--?(?:[a-z0-9]+[-_])*(?:token|passwd|password|passphrase|secret|api[-_]?key|access[-_]?key))"
    r"(?P<mid>\s+)(?P<quote>['\"]?)(?P<value>[^\s'\"-][^\s'\"]{0,4000})",
    re.IGNORECASE,
)
_HEADER = _Lazy(r"\b(bearer|basic)(\s+)([A-Za-z0-9+/_.=~-]{8,4000})", re.IGNORECASE)
_COOKIE = _Lazy(r"\b((?:set-)?cookie\s{0,3}:\s{0,3})([^\r\n]{1,4000})", re.IGNORECASE)
_PEM = _Lazy(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(.{0,20000}?)(-----END [A-Z ]{0,40}PRIVATE KEY-----|$)", re.DOTALL
)

_HARMLESS = _Lazy(
    r"(?:[+-]?\d{1,9}(?:\.\d+)?[a-z%]{0,3}|none|null|true|false|yes|no|\(?unset\)?|<[a-z_ -]+>|\*+|\[redacted\]?|"
    r"torch|tensor|int|str|\{|\[|\()",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` without its secrets; a text that has none comes back unchanged. Applying it twice changes nothing."""
    if not _HINTS.search(text):
        return text
    text = _PEM.re.sub(rf"\1{MARK}\3", text)
    text = _WHOLE.re.sub(MARK, text)
    text = _URL.re.sub(_url, text)
    text = _HEADER.re.sub(_header, text)
    text = _COOKIE.re.sub(rf"\1{MARK}", text)
    text = _OPTION.re.sub(_value, text)
    return _ASSIGNED.re.sub(_value, text)


def _url(match: re.Match[str]) -> str:
    """Credentials before a host: the password goes; a lone user part goes too, for it may be a token."""
    scheme, user, password = match.group(1), match.group(2), match.group(3)
    if password is None:
        return f"{scheme}{user}@" if len(user) < 16 else f"{scheme}{MARK}@"
    return f"{scheme}{user if len(user) < 16 else MARK}:{MARK}@"


def _header(match: re.Match[str]) -> str:
    """A bearer token; "basic research" and the like are words, not credentials."""
    value = match.group(3)
    if value.isalpha() and value.islower():
        return match.group(0)
    return f"{match.group(1)}{match.group(2)}{MARK}"


def _value(match: re.Match[str]) -> str:
    """The value of a name that sounds like a secret, unless it plainly is not one."""
    if _HARMLESS.re.fullmatch(match.group("value")):
        return match.group(0)
    return f"{match.group('name')}{match.group('mid')}{match.group('quote')}{MARK}"
