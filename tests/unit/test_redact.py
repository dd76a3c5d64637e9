"""No secret survives redaction, and redaction harms nothing else."""

import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commcheck.cli.main import main
from commcheck.diagnose.build import report
from commcheck.diagnose.ingest.redact import redact_arguments
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.model.case import Case, Origin, RankRecord
from commcheck.report.redact import MARK, clean, redact
from commcheck.report.to_json import render as to_json
from commcheck.runtime.reports import Writer, read_all

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


# --- every kind of secret, wherever a log may hold it ---------------------------------------------------------

_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_B64 = _ALNUM + "+/"


def _of(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=size, max_size=size)


def _after(prefix: str, alphabet: str, size: int) -> st.SearchStrategy[str]:
    return _of(alphabet, size).map(prefix.__add__)


# What is known by itself, without a name beside it: prefix and form are the issuers'.
BY_ITSELF = {
    "aws key id": _after("AKIA", _UPPER, 16),
    "aws temporary key id": _after("ASIA", _UPPER, 16),
    "hugging face": _after("hf_", _ALNUM, 34),
    "github": _after("ghp_", _ALNUM, 36),
    "github fine-grained": _after("github_pat_", _ALNUM + "_", 82),
    "gitlab": _after("glpat-", _ALNUM + "-_", 20),
    "gitlab ci": _after("glcbt-", _ALNUM + "-_", 20),
    "openai": _after("sk-proj-", _ALNUM + "-_", 48),
    "anthropic": _after("sk-ant-api03-", _ALNUM + "-_", 90),
    "slack bot": _after("xoxb-1234567890-", _ALNUM, 24),
    "slack app": _after("xapp-1-", _ALNUM, 40),
    "google api": _after("AIza", _ALNUM + "-_", 35),
    "google oauth": _after("ya29.", _ALNUM + "-_", 60),
    "google client": _after("GOCSPX-", _ALNUM + "-_", 28),
    "ngc": _after("nvapi-", _ALNUM + "-_", 64),
    "wandb": _after("wandb_v1_", _ALNUM + "_", 77),
    "npm": _after("npm_", _ALNUM, 36),
    "pypi": _after("pypi-AgEIcHlwaS5vcmc", _ALNUM + "-_", 100),
    "docker hub": _after("dckr_pat_", _ALNUM + "-_", 27),
    "databricks": _after("dapi", _HEX, 32),
    "vault": _after("hvs.", _ALNUM, 24),
    "stripe": _after("sk_live_", _ALNUM, 24),
    "sendgrid": st.tuples(_of(_ALNUM, 22), _of(_ALNUM, 43)).map(lambda t: f"SG.{t[0]}.{t[1]}"),
    "jwt": st.tuples(_of(_ALNUM, 20), _of(_ALNUM, 60), _of(_ALNUM, 43)).map(lambda t: f"eyJ{t[0]}.eyJ{t[1]}.{t[2]}"),
}  # fmt: skip

# What only its place gives away, as it stands there.
_PLAIN = st.tuples(_secret, st.sampled_from(["", "!", "%21", "a+b/c=", "x.y-z"])).map("".join)
BY_PLACE = (
    "export WANDB_API_KEY={}", "WANDB_API_KEY='{}'", "'HF_TOKEN': '{}', 'HOME': '/root'", 'declare -x DB_PASSWORD="{}"',
    "AWS_SECRET_ACCESS_KEY={}", "aws_session_token = {}", '"SecretAccessKey": "{}"', "AccountKey={};EndpointSuffix=x",
    "NGC_API_KEY={}", "AZURE_CLIENT_SECRET={}", "OPENAI_KEY={}", "COMET_API_KEY={} python train.py", "db_pwd={}", "secret_key={}, lr=3",
    "train.py --api-key {} --lr 3", "train.py --token={}", "['train.py', '--hf-token', '{}', '--lr', '3']", "--password '{}'",
    "https://me:{}@git.example/x", "https://{}@git.example/x", "redis://:{}@cache:6379/0", "postgresql://u:{}@db/x failed",
    "Authorization: Bearer {}", "'Authorization': 'Bearer {}'", "authorization: token {}", "Proxy-Authorization: Basic {}",
    "Cookie: sid={}", "'Set-Cookie': 'sid={}; HttpOnly'", "X-Api-Key: {}", "curl -u me:{} https://x", "curl --user me:{} x",
    "sshpass -p {} ssh node1", "docker login -u me -p {} nvcr.io", "machine api.wandb.ai login user password {}",
    "https://acc.blob.core.windows.net/c?sv=2022&sig={}&se=1", "https://b.s3.amazonaws.com/k?X-Amz-Signature={}&x=1",
    "https://storage.googleapis.com/b?X-Goog-Credential={}&x=1", "https://maps.example/api?key={}",
    "https://hooks.slack.com/services/T0/B0/{}", '{{"name": "DB_PASSWORD", "value": "{}"}}', "{{name: MY_TOKEN, value: {}}}",
    "password=ab,{}", 'password="two words {}"', "passphrase: {}", "-----BEGIN OPENSSH PRIVATE KEY-----{}",
)  # fmt: skip
_FRAMES = ("{}", "RuntimeError: {}", "[rank3]: ValueError: bad settings: {}", "env: A=1 {} B=2", "{}.")


@pytest.mark.parametrize("kind", BY_ITSELF)
@given(
    data=st.data(), frame=st.sampled_from([*_FRAMES, "x='{}'", "--arg={}", "http://h/p/{}", "<{}>", "a={},b=1", "({})"])
)
def test_what_is_known_by_itself_is_gone(kind: str, data: st.DataObject, frame: str) -> None:
    secret = data.draw(BY_ITSELF[kind])
    shown = redact(frame.format(secret))
    assert secret[-8:] not in shown
    assert secret[: len(secret) // 2] not in shown


@pytest.mark.parametrize("place", BY_PLACE)
@given(secret=_PLAIN, frame=st.sampled_from(_FRAMES))
def test_what_its_place_gives_away_is_gone(place: str, secret: str, frame: str) -> None:
    if "://" in place and "@" in place:
        secret = secret.replace("/", "%2F")  # as a URL must have it
    if "services" in place or "Basic" in place or "X-Goog" in place:
        secret = secret.replace("!", "").replace("%21", "")
    shown = redact(frame.format(place.format(secret)))
    assert secret[:12] not in shown
    assert secret.rstrip("=!")[-5:] not in shown
    assert redact(shown) == shown


@given(st.lists(_of(_B64, 64), min_size=1, max_size=5), st.booleans())
def test_a_key_s_lines_are_gone_also_one_by_one(lines: list[str], whole: bool) -> None:
    lines = [f"{line[:30]}aB3{line[33:]}" for line in lines]  # by chance there may be none of a kind
    text = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])
    shown = redact(text) if whole else "\n".join(map(redact, text.splitlines()))
    assert not any(line in shown for line in lines if line.count("/") < 4)
    escaped = redact(f"'private_key': '{text!r}'")
    assert not any(line in escaped for line in lines)


@example('0"', '{{"name": "DB_PASSWORD", "value": "{}"}}', "G000000000000000000000")
@given(st.text(max_size=120), st.sampled_from(BY_PLACE), _secret)
def test_it_stays_stable_with_every_kind(text: str, place: str, secret: str) -> None:
    for candidate in (text + place.format(secret), place.format(secret) + text, place.format(text)):
        once = redact(candidate)
        assert redact(once) == once


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (("train.py", "--api-key", "S3cretS3cretS3cret", "--lr", "3"), ("train.py", "--api-key", MARK, "--lr", "3")),
        (("x", "--token=S3cretS3cretS3cret"), ("x", f"--token={MARK}")),
        (("python", "-m", "x", "--tokens", "512"), ("python", "-m", "x", "--tokens", "512")),
        (("diagnose", "password"), ("diagnose", "password")),
        (("env", "HF_TOKEN=S3cretS3cretS3cret", "x"), ("env", f"HF_TOKEN={MARK}", "x")),
    ],
)
def test_arguments_of_commands(arguments: tuple[str, ...], kept: tuple[str, ...]) -> None:
    assert redact_arguments(arguments) == kept


@pytest.mark.parametrize(
    "text",
    [
        "commit 3ae7fb8f856a4f39da87a0ccc1ec7df3095a8ac0",  # a commit
        "3ae7fb8f856a4f39da87a0ccc1ec7df3095a8ac0",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "ncclUniqueId 0x7f3a9c2b1d4e5f60 commId 0x8d2f6c1a9b3e4f50 rank 3 nranks 8",
        "node-a1b2c3d4.cluster-9f8e7d.internal:29500",
        "gpu-7f9c6d5b4-x2k9q 0000:3b:00.0",
        "[c10d] store key 0 wait timeout after 300000ms, keys: /default_pg/0//cpu//0/0",
        "KeyError: 'model.layers.0.self_attn.q_proj.weight'",
        'Unexpected key(s) in state_dict: "module.encoder.weight"',
        "tokenizer=meta-llama/Llama-2-7b-hf max_new_tokens=512 pad_token_id=0 num_tokens: 3000000",
        "SyntaxError: unexpected token: indent",
        "token_type_ids: None, attention_mask: None",
        "Authorization failed on node-3",
        "basic consistency checks passed",
        "Host key verification failed.",
        "/home/Alice/projects/run42/trainer/logs/rank/output",
        "ssh: connect to host node-7 port 22: Connection refused",
        "UCX ERROR failed to register rkey",
        "CUDA error: invalid device ordinal at /opt/conda/lib/python3.11/site-packages/torch/cuda/__init__.py",
        "--nproc-per-node=8 --rdzv-id=4711 --rdzv-endpoint=node1:29400",
        "file:///shared/rendezvous-7f3a9c2b",
        "[rank0]:[E616 01:02:03.5 ProcessGroupNCCL.cpp:616] [PG ID 0 PG GUID 0(default_pg) Rank 0] Watchdog caught",
        "learningrate=",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text
    assert redact(f"[rank3]: RuntimeError: {text}") == f"[rank3]: RuntimeError: {text}"


# --- whole reports ------------------------------------------------------------------------------------------

_WORDS = "RuntimeError: CUDA error: invalid device ordinal"


@pytest.mark.parametrize("form", ["text", "json", "html", "junit"])
def test_no_form_of_a_report_has_a_secret_of_the_log(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [f"Q{number:03d}zzGh5kkQ2xJ7wv9KpT4" for number in range(len(BY_PLACE))]
    lines = []
    for number, place in enumerate(BY_PLACE):
        said = place.format(secrets[number])
        lines += [f"[rank{number}]: {_WORDS} ({said})", said, f"ValueError: {said}"]
    log = tmp_path / "job.log"
    log.write_text("\n".join(lines) + "\n")
    assert main(["diagnose", str(log), "--format", form]) == 1
    shown = capsys.readouterr()
    assert "device-ordinal-out-of-range" in shown.out
    assert MARK in shown.out
    assert [secret for secret in secrets if secret[4:] in shown.out + shown.err] == []


def test_a_secret_on_the_border_of_a_long_line_s_pieces_does_not_come_apart() -> None:
    secret = "Gh5kkQ2xJ7wv9KpT4"
    for filler in range(3500, 4200, 7):
        line = f"{'a ' * (filler // 2)}{_WORDS} https://user:{secret}@host/ {'b ' * 3000}\n"
        case = case_from_text([("job.log", line.encode())])
        assert case.lines
        for found in case.lines:
            assert not any(secret[i : i + 6] in found.text for i in range(len(secret) - 6)), (filler, found.text[-99:])


def test_a_report_s_other_texts_lose_theirs_too() -> None:
    case = case_from_text([("job.log", f"{_WORDS}\n".encode())])
    made = report(
        case,
        judge(case),
        command=("commcheck", "run", "--", "train.py", "--api-key", "Gh5kkQ2xJ7wv9KpT4"),
        seconds=1.0,
        notes=("process 7: train.py --password=Gh5kkQ2xJ7wv9KpT4",),
    )
    shown = to_json(clean(made))
    assert "Gh5kkQ2xJ7wv9KpT4" not in shown
    assert shown.count(MARK) == 2
    assert clean(clean(made)) == clean(made)
    plain = report(case, judge(case), command=("commcheck", "diagnose", "job.log"), seconds=1.0)
    assert clean(plain) is plain


def test_a_rank_s_file_has_none(tmp_path: Path) -> None:
    rank = RankRecord(slot=0, rank=0, world_size=1, host="node", environment={"NCCL_PROXY_TOKEN": "Gh5kkQ2xJ7wv9KpT4"})
    Writer(str(tmp_path), 0).write(Case(origin=Origin.WORLD, ranks=(rank,)), done=True)
    (file,) = tmp_path.iterdir()
    assert "Gh5kkQ2xJ7wv9KpT4" not in file.read_text()
    (found,), _ = read_all(tmp_path)
    assert found.rank.environment == {"NCCL_PROXY_TOKEN": MARK}
