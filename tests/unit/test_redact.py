"""No secret survives redaction, and redaction harms nothing else."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.report.redact import MARK, redact

_ALNUM = string.ascii_letters + string.digits
# A secret has letters and digits: a value that is a plain number or a word of the field is let through on purpose.
_secret = st.tuples(
    st.sampled_from("GHJKQXZ"), st.text(_ALNUM, min_size=20, max_size=40), st.sampled_from("0123456789")
).map("".join)
_around = st.text(st.characters(exclude_characters="\n\r"), max_size=40)


@given(before=_around, key=st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16))
def test_aws_key_ids_are_gone(before: str, key: str) -> None:
    assert f"AKIA{key}" not in redact(f"{before} AKIA{key} in use")


@given(
    body=st.text(_ALNUM, min_size=36, max_size=36),
    prefix=st.sampled_from(["ghp_", "gho_", "ghs_", "hf_", "glpat-", "sk-"]),
)
def test_tokens_with_a_known_prefix_are_gone(prefix: str, body: str) -> None:
    for text in (
        f"login {prefix}{body}",
        f"TOKEN={prefix}{body}",
        f"https://{prefix}{body}@git.example/x",
        f'"{prefix}{body}"',
    ):
        assert body not in redact(text)


@given(
    secret=_secret,
    name=st.sampled_from(["MY_TOKEN", "password", "AWS_SECRET_ACCESS_KEY", "api_key", "WANDB_API_KEY", "db.passwd"]),
)
def test_values_of_names_that_sound_secret_are_gone(name: str, secret: str) -> None:
    for text in (f"{name}={secret}", f"export {name}='{secret}'", f'"{name}": "{secret}"', f"{name}: {secret}, next=1"):
        assert secret not in redact(text), text


@given(secret=_secret, user=st.text(string.ascii_lowercase, min_size=1, max_size=8))
def test_passwords_in_urls_are_gone_and_the_host_stays(user: str, secret: str) -> None:
    text = redact(f"proxy http://{user}:{secret}@proxy.example:3128/ used")
    assert secret not in text
    assert "proxy.example:3128" in text


@given(secret=_secret)
def test_options_and_headers_are_gone(secret: str) -> None:
    for text in (f"run --api-key {secret} --lr 3", f"Authorization: Bearer {secret}", f"Cookie: sid={secret}"):
        assert secret not in redact(text), text


@given(st.text(max_size=300))
def test_it_never_raises_and_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(
    st.lists(
        st.sampled_from(
            [
                "token=",
                "password",
                "://",
                "@",
                ":",
                "=",
                " ",
                "Bearer ",
                "'",
                MARK,
                "a1b2c3d4e5",
                "-----BEGIN RSA PRIVATE KEY-----",
                "--token ",
            ]
        )
    ).map("".join)
)
def test_it_is_stable_on_awkward_texts(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "[rank3]: RuntimeError: CUDA error: invalid device ordinal",
        "tokens=4096, tokens per second: 812.5",
        "tcp://10.9.0.1:29500",
        "MASTER_ADDR=trainer-a MASTER_PORT=29500",
        "max_new_tokens: 512",
        "user@trainer-b: Permission denied (publickey,password).",
        "KeyError: 'labels'",
    ],
)
def test_evidence_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_private_keys_are_gone() -> None:
    text = redact("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY----- after")
    assert "MIIEow" not in text
    assert text.endswith("after")
