"""Take secrets out of text. Applied to every line that is read, and to every text of a report before it is shown.

What may not be here: anything but text in, text out. A secret's place is kept visible (`[redacted]`), and so is
everything around it, because the line is evidence.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from commcheck.diagnose.lazy import Lazy

MARK = "[redacted]"

_Replacement = str | Callable[[re.Match[str]], str]


class _Kind(NamedTuple):
    """One kind of secret. `hints`: small texts of which one is in every line that the pattern could change; most lines
    have none of any kind, and stop there."""

    hints: tuple[str, ...]
    pattern: Lazy
    by: _Replacement = MARK


# --- what looks like a secret by itself ---------------------------------------------------------------------

_PREFIXED = (
    # prefix, the rest; as their issuers document them, or secret scanners list them
    (r"(?:AKIA|ASIA|AGPA|AROA|AIDA)", r"[A-Z0-9]{16}(?![A-Z0-9])"),  # AWS
    ("hf_", r"[A-Za-z0-9]{16,200}"),  # Hugging Face
    ("api_org_", r"[A-Za-z0-9]{16,200}"),
    ("gh[opsur]_", r"[A-Za-z0-9_]{16,255}"),  # GitHub
    ("github_pat_", r"[A-Za-z0-9_]{16,255}"),
    ("gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas)-", r"[A-Za-z0-9_.-]{16,200}"),  # GitLab
    ("sk-", r"[A-Za-z0-9_-]{16,300}"),  # OpenAI, Anthropic
    ("[rs]k_(?:live|test)_", r"[A-Za-z0-9]{16,200}"),  # Stripe
    ("whsec_", r"[A-Za-z0-9+/=]{16,200}"),
    ("xox[abceoprsd](?:\\.xox[bp])?-", r"[A-Za-z0-9-]{10,300}"),  # Slack
    ("xapp-", r"[A-Za-z0-9-]{16,300}"),
    ("AIza", r"[A-Za-z0-9_-]{30,60}"),  # Google
    (r"ya29\.", r"[A-Za-z0-9_-]{16,1000}"),
    ("GOCSPX-", r"[A-Za-z0-9_-]{16,60}"),
    ("nvapi-", r"[A-Za-z0-9_-]{16,200}"),  # NVIDIA NGC
    ("wandb_v1_", r"[A-Za-z0-9_-]{16,200}"),
    ("local-", r"[0-9a-f]{40}(?![0-9a-f])"),  # W&B, of a server of one's own
    ("npm_", r"[A-Za-z0-9]{30,60}"),
    ("pypi-", r"[A-Za-z0-9_-]{16,300}"),
    ("dckr_pat_", r"[A-Za-z0-9_-]{16,100}"),
    ("dapi", r"[0-9a-f]{32}(?:-\d)?(?![0-9a-f])"),  # Databricks
    ("do[opr]_v1_", r"[0-9a-f]{32,100}"),
    (r"hv[sbr]\.", r"[A-Za-z0-9_-]{16,300}"),  # HashiCorp Vault
    (r"SG\.", r"[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,80}"),  # SendGrid
    ("r8_", r"[A-Za-z0-9]{30,60}"),
    ("gsk_", r"[A-Za-z0-9]{30,100}"),
    ("xai-", r"[A-Za-z0-9]{30,200}"),
    ("rpa_", r"[A-Z0-9]{30,100}"),  # RunPod
    ("lsv2_(?:pt|sk)_", r"[A-Za-z0-9_]{16,100}"),
    ("glsa_", r"[A-Za-z0-9_]{30,60}"),
    ("sntrys_", r"[A-Za-z0-9+/=_]{16,300}"),
    ("ATATT3", r"[A-Za-z0-9_=-]{30,300}"),  # Atlassian
    ("AGE-SECRET-KEY-1", r"[0-9A-Z]{30,80}"),
    ("eyJ", r"[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{2,4000}){1,3}"),  # JSON web tokens
)
_PREFIXED_HINTS = (
    "akia", "asia", "agpa", "aroa", "aida", "hf_", "api_org_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_",
    "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "gloas-", "sk-", "_live_", "_test_",
    "whsec_", "xox", "xapp-", "aiza", "ya29.", "gocspx-", "nvapi-", "wandb_v1_", "local-", "npm_", "pypi-", "dckr_pat_",
    "dapi", "_v1_", "hvs.", "hvb.", "hvr.", "sg.", "r8_", "gsk_", "xai-", "rpa_", "lsv2_", "glsa_", "sntrys_", "atatt3",
    "age-secret-key-", "eyj",
)  # fmt: skip
_WHOLE = Lazy(rf"(?<![A-Za-z0-9])(?:{'|'.join(f'{prefix}{rest}' for prefix, rest in _PREFIXED)})")
_PEM = Lazy(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)(.{0,20000}?)(-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)",
    re.DOTALL,
)
# A key's line alone, or a part of something long: base64 without a space. Digests and ids are of hexadecimal digits.
_BASE64_LINE = Lazy(r"^[ \t]{0,40}([A-Za-z0-9+/]{40,20000}={0,2}|[A-Za-z0-9+/]{8,40}={1,2})[ \t]{0,40}$", re.MULTILINE)
_BASE64_LONG = Lazy(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{200,20000}")

# --- where a secret stands ------------------------------------------------------------------------------------

# scheme://user:password@host; the user's name stays unless it is all that there is (a token as the user name).
_URL = Lazy(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{1,20}://)([^\s/@:'\"]{0,200})(?::([^\s/'\"]{1,400}))?@")
_HOOK = Lazy(r"(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/)[\w/-]{8,300}")
_SIGNED = Lazy(
    r"((?:[?&;]|\b(?=x-))(?:sig|key|code|x-(?:amz|goog)-(?:signature|credential|security-token))=)[^\s&'\"]{8,4000}",
    re.IGNORECASE,
)

_NAME = (
    r"[A-Za-z0-9_.-]{0,60}(?:token(?!i[sz]|s(?![A-Za-z]))|passwd|password|passphrase|passcode|[_-]pwd|secret|api[_-]?key|"
    r"access[_-]?key(?:[_-]?id)?|(?:private|client|account|auth|signing|encryption|ssh|shared|storage)[_-]?key|"
    r"credentials?|wandb_key|master_key|session_key)[A-Za-z0-9_]{0,20}"
)
# A value: in quotes up to their end, else up to a space, or to a separator that ends it.
_VALUE = (
    r"(?:(?P<quote>['\"])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\\n]){1,4000}?)(?=(?P=quote))"
    r"|(?P<loose>['\"]?)(?P<value>(?:(?![,;&|][\w.-]{1,60}\s?[=:])[^\s'\"]){1,4000}?"
    r"(?=[,;)\]}|&]{0,8}(?:\s|['\"]|$)|[,;&|][\w.-]{1,60}\s?[=:])|[^\s'\"]{4000}))"
)
_ASSIGNED = Lazy(
    rf"(?P<name>(?<![A-Za-z0-9_]){_NAME})(?P<mid>\\?['\"]?\s{{0,4}}(?:=>|[=:])\s{{0,4}}|\s{{1,4}}(?=['\"])){_VALUE}",
    re.IGNORECASE,
)
_OPTION = Lazy(
    r"(?P<name>--?(?:[a-z0-9]+[-_]){0,8}(?:token|passwd|password|passphrase|secret|(?:api|access|private|account)[-_]?key))"
    rf"(?P<mid>['\"]?,?\s{{1,4}})(?!-){_VALUE}",
    re.IGNORECASE,
)
# Commands whose option for a password has one letter.
_COMMAND = Lazy(
    r"(?P<name>\b(?:sshpass|docker login|podman login|mysql)\b[^\n]{0,200}?\s-p)(?P<mid>\s{0,4})"
    r"(?P<quote>['\"]?)(?P<value>[^\s'\"]{1,400})"
)
_CURL = Lazy(r"(\b(?:curl|wget)\b[^\n]{0,400}?\s(?:-u|--user)[= ]{0,2}['\"]?[^\s:'\"]{1,100}:)[^\s'\"]{1,400}")
_NETRC = Lazy(r"(\blogin\s{1,4}\S{1,100}\s{1,4}password\s{1,4})\S{1,400}", re.IGNORECASE)
_WANDB = Lazy(r"(\bwandb login\b[^\n]{0,80}?\s)[0-9a-f]{40}\b")
_DOCKER = Lazy(r"(['\"]_?auth['\"]\s{0,4}:\s{0,4}['\"]|\b_auth\s{0,4}=\s{0,4})[A-Za-z0-9+/]{8,4000}={0,2}")
# An environment as Kubernetes writes it: the name and the value apart.
_NAMED = Lazy(
    r"(['\"]?name['\"]?\s{0,4}[:=]\s{0,4}['\"]?[\w.-]{0,60}(?:TOKEN|PASSW|SECRET|API_?KEY|ACCESS_?KEY|CREDENTIAL)[\w.-]{0,60}['\"]?\s{0,4},"
    r"\s{0,4}['\"]?value['\"]?\s{0,4}[:=]\s{0,4})(?!\[redacted\])(?:\"[^\"\n]{1,4000}\"|'[^'\n]{1,4000}'|[^\s,}]{1,4000})",
    re.IGNORECASE,
)
_ENVIRONMENT = Lazy(  # MY_KEY=..., where it does not look like a word, a path or a number
    r"\b([A-Z][A-Z0-9_]{0,60}_KEY=['\"]?)(?=[^\s'\",;]{0,60}\d)(?=[^\s'\",;]{0,60}[A-Za-z])[A-Za-z0-9+=_.~-]{16,4000}"
)
_HEADER = Lazy(r"\b(bearer|basic)(\s{1,4})([A-Za-z0-9+/_.=~-]{8,4000})", re.IGNORECASE)
_AUTHORIZATION = Lazy(
    r"(\b(?:proxy-)?authorization['\"]?\s{0,4}[:=]\s{0,4}(?:[bu]?['\"])?(?:(?:token|apikey|digest|negotiate|ntlm|aws4-hmac-sha256)\s)?)"
    r"(?!(?:bearer|basic)\s)(?!(?:\w[\w-]{0,30}\s)?\[redacted)[^\s'\"][^\n'\"]{7,4000}",
    re.IGNORECASE,
)
_COOKIE = Lazy(r"\b((?:set-)?cookie['\"]?\s{0,3}:\s{0,3}['\"]?)([^\r\n'\"]{1,4000})", re.IGNORECASE)

_HARMLESS = Lazy(
    r"(?:[+-]?\d{1,9}(?:\.\d+)?[a-z%]{0,3}|none|null|true|false|yes|no|\(?unset\)?|<[a-z_ -]+>|\*+|\[redacted\]?|"
    r"torch|tensor|int|str|\{|\[|\()",
    re.IGNORECASE,
)
_FILE_NAME = Lazy(r"(?:.*[_-])?(?:file|path|dir|name|id|type|len|length|size|count|ids|mask|dim)", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` without its secrets; a text that has none comes back unchanged. Applying it twice changes nothing."""
    small = text.lower()
    for kind in _KINDS:
        for hint in kind.hints:  # not any(): every line that is kept comes through here
            if hint in small:
                text = kind.pattern.re.sub(kind.by, text)
                break
    if len(text) >= _LINE or text.rstrip().endswith("="):
        text = _BASE64_LINE.re.sub(_base64_line, text)
    return _BASE64_LONG.re.sub(_base64_long, text) if len(text) >= _LONG else text


_LINE, _LONG = 40, 200  # characters of base64: in a line of its own, and anywhere


def redact_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command's arguments without their secrets: also of an option whose value is the next argument."""
    found: list[str] = []
    for argument in arguments:
        option = found[-1] if found else ""
        together = redact(f"{option} {argument}") if option.startswith("-") and " " not in option else ""
        found.append(MARK if together == f"{option} {MARK}" else redact(argument))
    return tuple(found)


def redact_all(value: Any) -> Any:
    """Builtin containers without the secrets of all their texts; a mapping's names count as those of its values."""
    if isinstance(value, str):
        return redact(value) if len(value) > _SHORT else _short(value)
    if isinstance(value, dict):
        return {
            name: redact_all(_of(name, item) if isinstance(item, str) else item) if isinstance(item, _HOLD) else item
            for name, item in value.items()
        }
    if isinstance(value, tuple):
        return tuple(map(redact_all, value))
    return list(map(redact_all, value)) if isinstance(value, list) else value


_HOLD = (str, dict, tuple, list)
_SHORT = 64
"""Characters of a text that may come again and again in a report of many ranks: names of phases, hosts, interfaces."""


@lru_cache(maxsize=1 << 14)
def _short(text: str) -> str:
    return redact(text)


@lru_cache(maxsize=1 << 14)
def _of(name: Any, item: Any) -> Any:
    """The value of an environment variable or setting, whose name tells that it is secret."""
    if not isinstance(name, str) or not isinstance(item, str) or "\n" in item:
        return item
    return MARK if item and redact(f"{name}={item}") == f"{name}={MARK}" else item


def _url(match: re.Match[str]) -> str:
    """Credentials before a host: the password goes; a lone user part goes too, for it may be a token."""
    scheme, user, password = match.group(1), match.group(2), match.group(3)
    if password is None:
        return f"{scheme}{user}@" if len(user) < 16 else f"{scheme}{MARK}@"
    return f"{scheme}{user if len(user) < 16 else MARK}:{MARK}@"


def _header(match: re.Match[str]) -> str:
    """A bearer token; "basic research" and the like are words, not credentials."""
    value = match.group(3)
    if value.strip(".-~=_/+").isalpha() and value.islower():
        return match.group(0)
    return f"{match.group(1)}{match.group(2)}{MARK}"


def _value(match: re.Match[str]) -> str:
    """The value of a name that sounds like a secret, unless it plainly is not one."""
    said = match.groupdict()
    value = said.get("quoted") or said["value"]
    quote = said.get("quote") or said.get("loose") or ""
    name, mid = match.group("name"), match.group("mid")
    if _HARMLESS.re.fullmatch(value):
        return match.group(0)
    if "pass" not in name.lower():
        word = value.isalpha() and value.islower() and "=" not in mid and not quote
        file = _FILE_NAME.re.fullmatch(name) and not ("id" in name.lower()[-2:] and "key" in name.lower())
        if word or (file and (value.startswith(("/", "./", "~", "[")) or value.islower())):
            return match.group(0)
    return f"{name}{mid}{quote}{MARK}"


def _base64_line(match: re.Match[str]) -> str:
    found = match.group(1)
    return match.group(0).replace(found, MARK) if _chance(found) else match.group(0)


def _base64_long(match: re.Match[str]) -> str:
    found = match.group(0)
    return MARK if _chance(found) else found


def _chance(text: str) -> bool:
    """Whether a long text looks chosen by chance: small and large letters and digits, and not as many slashes as a path."""
    if text.count("/") * 20 > len(text):
        return False
    return any(c.islower() for c in text) and any(c.isupper() for c in text) and any(c.isdigit() for c in text)


_KINDS = (
    _Kind(("private key",), _PEM, rf"\1{MARK}\3"),
    _Kind(_PREFIXED_HINTS, _WHOLE),
    _Kind(("://",), _URL, _url),
    _Kind(("hooks.slack", "/webhooks/"), _HOOK, rf"\1{MARK}"),
    _Kind(("sig=", "?key=", "&key=", "code=", "x-amz-", "x-goog-"), _SIGNED, rf"\1{MARK}"),
    _Kind(("bearer", "basic"), _HEADER, _header),
    _Kind(("authorization",), _AUTHORIZATION, rf"\1{MARK}"),
    _Kind(("cookie",), _COOKIE, rf"\1{MARK}"),
    _Kind(("sshpass", "login", "mysql"), _COMMAND, _value),
    _Kind(("curl", "wget"), _CURL, rf"\1{MARK}"),
    _Kind(("login",), _NETRC, rf"\1{MARK}"),
    _Kind(("wandb login",), _WANDB, rf"\1{MARK}"),
    _Kind(("auth",), _DOCKER, rf"\1{MARK}"),
    _Kind(("value",), _NAMED, rf"\1{MARK}"),
    _Kind(("_key=",), _ENVIRONMENT, rf"\1{MARK}"),
    _Kind(("token", "passw", "passphrase", "secret", "key"), _OPTION, _value),
    _Kind(("token", "passw", "passphrase", "passcode", "pwd", "secret", "key", "credential"), _ASSIGNED, _value),
)
