"""Bundles: one file, the same bytes for the same world, no secret in it, and no harm from a broken or foreign one."""

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose import build
from commcheck.diagnose.match import judge
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Address, Case, Ended, HostFacts, Interface, LogLine, Origin, RankRecord, World
from commcheck.model.diagnosis import Verdict
from commcheck.model.plan import FaultAt, Place, Plan, RankPlan
from commcheck.model.scenario import Expect, RankSettings
from commcheck.replay.bundle import bundle_of, plan_of
from commcheck.replay.clean import environment
from commcheck.replay.compare import compared, same
from commcheck.replay.file import MEMBERS, from_bytes, load, save, to_bytes
from commcheck.scenarios.kinds import file_type, specs


def rank(slot, **env):
    return RankPlan(
        slot=slot,
        environment={"RANK": str(slot), "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", **env},
        place=Place(host="n0", netns="some", pid=None),
        limits={"nofile": (100, 200)},
        cgroups=("/sys/fs/cgroup/x",),
        faults=(FaultAt(name="kill", phase="group"),),
        python="/opt/bin/python",
    )


def world(*, scenario=None, printed="", **env):
    plan = Plan(
        size=2,
        backend="gloo",
        ranks=(rank(0), rank(1, **env)),
        workload="pytest_item",
        given=b"pickled",
        base_environment=env,
    )
    case = Case(
        origin=Origin.WORLD,
        world=World(size=2, backend="gloo", master_addr="10.0.0.1", master_port=29500),
        hosts=(
            HostFacts(
                host="n0",
                interfaces=(
                    Interface(
                        name="eth0", up=True, carrier=True, loopback=False, mtu=1500,
                        addresses=(Address(family="ipv4", address="10.0.0.1", prefix=24),),
                    ),
                ),
            ),
        ),
        ranks=tuple(
            RankRecord(
                slot=r.slot, rank=r.slot, world_size=2, host="n0", started="warm", environment=environment(r.environment),
                output=(LogLine(source="stderr", number=1, text=printed, rank=r.slot),),
            )
            for r in plan.ranks
        ),
        ended=Ended.FAILED,
    )  # fmt: skip
    report = build.report(case, judge(case), command=("commcheck", "preflight", f"--env=X={printed}"), seconds=1.0)
    return bundle_of(plan, case, report, origin="preflight", scenario=scenario, seed=7)


def scenario(**env):
    drop = specs()["drop"](hosts=(0,), ports="29500")
    return file_type()(
        title="a firewall", expect=Expect(verdict=Verdict.UNHEALTHY, cause="port-dropped"), fault=(drop,),
        ranks={"1": RankSettings(env=env)},
    )  # fmt: skip


def test_what_is_saved_is_read_again(tmp_path):
    made = world(scenario=scenario(NCCL_DEBUG="INFO"), GLOO_SOCKET_IFNAME="nope0")
    save(made, tmp_path / "a.zip")
    assert load(tmp_path / "a.zip") == made
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]
    assert to_bytes(load(tmp_path / "a.zip")) == to_bytes(made)
    assert made.plan.ranks[1].environment["GLOO_SOCKET_IFNAME"] == "nope0"
    assert made.scenario.fault[0].ports == "29500"
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None


def test_what_holds_on_one_machine_alone_is_not_kept():
    kept = world(HOME="/root", PATH="/bin").plan
    assert kept.given == b""
    assert kept.base_environment == {}
    assert not {"HOME", "PATH"} & kept.ranks[1].environment.keys()
    assert (kept.ranks[0].place, kept.ranks[0].cgroups, kept.ranks[0].python) == (Place(host="n0"), (), "")
    assert kept.ranks[0].limits == {"nofile": (100, 200)}
    assert kept.ranks[0].faults[0].name == "kill"


SECRETS = st.one_of(
    st.text("ABCDEFGHJKMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz0123456789", min_size=12, max_size=40).map(
        lambda s: f"q{s}9Z"
    ),
    st.text("abcdef0123456789", min_size=20, max_size=40).map(lambda s: f"ghp_{s}"),
)
NAMES = st.sampled_from(
    [
        "WANDB_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "NCCL_SECRET",
        "TORCH_AUTH_TOKEN",
        "MASTER_PASSWORD",
        "GLOO_COOKIE",
    ]
)


@given(
    name=NAMES, secret=SECRETS, around=st.sampled_from(["{}", "login with {} failed", "x={}y", "https://me:{}@host/"])
)
def test_no_secret_is_ever_kept(name, secret, around):
    """In a variable, in what a rank printed, in the command line, in a scenario."""
    made = world(scenario=scenario(**{name: secret}), printed=around.format(secret), **{name: secret})
    assert secret.encode() not in to_bytes(made)


@settings(max_examples=40)
@given(secret=SECRETS, form=st.sampled_from(["token={}", "Authorization: Bearer {}", "--api-key {}", "http://u:{}@h/"]))
def test_no_secret_is_kept_that_only_a_line_shows(secret, form):
    assert secret.encode() not in to_bytes(world(printed=form.format(secret)))


def test_a_secret_that_is_a_word_of_ours_breaks_nothing():
    made = world(printed="unhealthy", MASTER_PASSWORD="unhealthy", NCCL_SECRET="warm-and-cold")
    assert from_bytes(to_bytes(made), "x") == made


GOOD = to_bytes(world(scenario=scenario()))


@given(st.data())
def test_whatever_is_done_to_a_bundle_gives_one_error_or_a_bundle(data):
    at = data.draw(st.integers(0, len(GOOD) - 1))
    how = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    byte = data.draw(st.integers(1, 255))
    broken = {
        "cut": GOOD[:at],
        "flip": GOOD[:at] + bytes([GOOD[at] ^ byte]) + GOOD[at + 1 :],
        "insert": GOOD[:at] + bytes([byte]) * 3 + GOOD[at:],
    }[how]
    try:
        read = from_bytes(broken, "some.zip")
    except InputError as error:
        said = str(error)
    else:
        said = f"some.zip: {read.head.origin}"
    assert said.startswith("some.zip: ")


@given(st.binary(max_size=300))
def test_other_files_are_refused(data):
    for content in (data, b"PK\x03\x04" + data, b"PK\x05\x06" + data):
        with pytest.raises(InputError, match="x"):
            from_bytes(content, "x")


def archive(members, compression=zipfile.ZIP_STORED):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return whole.getvalue()


def parts():
    with zipfile.ZipFile(io.BytesIO(GOOD)) as good:
        return {name: good.read(name) for name in good.namelist()}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive([("../../etc/passwd", "x")]), "holds '../../etc/passwd', which no bundle does"),
        (archive([("/bundle.json", "{}")]), "which no bundle does"),
        (archive([("bundle.json", b"0" * (1 << 24))], zipfile.ZIP_DEFLATED), "bundle.json is compressed"),
        (archive([("bundle.json", "{}")]), "lacks plan.json"),
        (archive([(n, "{}") for n in MEMBERS]), "bundle.json: field schema is None"),
        (archive([(n, c if n != "case.json" else c[:50]) for n, c in parts().items()]), "case.json: Input data was truncated"),
        (archive([(n, "[" * 100_000 if n == "case.json" else c) for n, c in parts().items()]), "case.json: "),
        (archive([(n, c.replace(b'"slot"', b'"slod"')) for n, c in parts().items()]), "plan.json: "),
        (archive([(n, c.replace(b"bundle/1", b"bundle/9")) for n, c in parts().items()]), "replay it with the commcheck that"),
        (archive([(n, c.replace(b'"drop"', b'"dorp"')) for n, c in parts().items()]), "scenario.json: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_member_and_remedy(content, says):
    with pytest.raises(InputError) as caught:
        from_bytes(content, "b.zip")
    assert str(caught.value).startswith("b.zip: ")
    assert says in str(caught.value)


def test_a_member_twice_is_refused():
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive([*parts().items(), ("plan.json", "{}")])
    with pytest.raises(InputError, match=r"holds plan\.json twice"):
        from_bytes(content, "b.zip")


def test_a_file_that_is_not_there_or_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.zip")
    with pytest.raises(UsageError, match="cannot be written"):
        save(world(), tmp_path / "no" / "a.zip")


def test_a_plan_is_made_of_evidence_alone():
    made = world(GLOO_SOCKET_IFNAME="nope0")
    plan = plan_of(made.case)
    assert [r.environment for r in plan.ranks] == [r.environment for r in made.plan.ranks]
    assert plan.size == 2


def test_verdicts_are_compared_by_cause_and_ranks():
    bundle = world(GLOO_SOCKET_IFNAME="nope0")
    bad = replace(bundle.report, verdict=Verdict.UNHEALTHY)
    assert bad.diagnoses
    assert same(bad, bad)
    assert compared(bad, bad).startswith("again: the same cause on the same ranks (interface-missing on rank 1")
    good = replace(bad, verdict=Verdict.HEALTHY, diagnoses=())
    assert compared(bad, good) == "differs: healthy, and interface-missing on rank 1 when it was recorded"
    other = replace(bad, diagnoses=(replace(bad.diagnoses[0], ranks=(0,)),))
    assert not same(bad, other)
    assert compared(good, good) == "again: healthy, as recorded"
