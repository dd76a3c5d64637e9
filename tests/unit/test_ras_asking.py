"""How NCCL's RAS is asked: servers that speak its protocol as its sources have it, and libnccl's own.

What it takes to have the library listen without a GPU: ncclRasCommInit is no exported function, but the library's own table
of symbols tells where it is, and it needs no more of a communicator than its memory. ncclCommInitRank would call it too, and
needs a GPU before it comes so far.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import made_ras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose.build import report
from commcheck.diagnose.match import judge
from commcheck.model.case import Ended, ProcessState, Socket
from commcheck.model.phase import Phase
from commcheck.model.plan import Place
from commcheck.model.taxonomy import Symptom
from commcheck.probe import ras as client
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.runtime import ras
from commcheck.runtime.live import collect
from commcheck.runtime.live.asking import Questions
from commcheck.runtime.live.find import Found
from commcheck.runtime.live.look import Look, Watched
from commcheck.system import process, procs, sockets

FOUND = find(os.environ)
RANKS = [made_ras.Rank(n, "127.0.0.1", os.getpid() + n, (0, 0, 3, 0, 16 if n == 2 else 17)) for n in range(4)]


@pytest.fixture
def port():
    """A port on which nobody listens; held, with reuse, so that nobody else is given it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Server:
    """src/ras/client_support.cc, rasClientEventLoop. `json`: as from 2.28.7 on."""

    def __init__(self, *, json=True, ranks=RANKS, greets=b"SERVER PROTOCOL 2\n", waits=0.0):
        self.commands = []
        self._json, self._ranks, self._greets, self._waits = json, ranks, greets, waits
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._clients = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._socket.close()
        for thread in self._clients:
            thread.join()

    @property
    def door(self):
        return client.Door(host="127.0.0.1", port=self.port, patience=0.5)

    def _serve(self):
        while not self._over.is_set():
            try:
                one, _ = self._socket.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._talk, args=(one,))
            thread.start()
            self._clients.append(thread)

    def _talk(self, one):
        form = "text"
        one.settimeout(5)
        # Of several connections the client closes all but one.
        with suppress(OSError), one, one.makefile("rb") as lines:
            for raw in lines:
                line = raw.decode().strip().lower()
                self.commands.append(line)
                if line.startswith("client protocol "):
                    reply = self._greets
                elif line.startswith("timeout "):
                    reply = b"OK\n"
                elif self._json and line.startswith("set format "):
                    form, reply = line.split()[-1], b"OK\n"
                elif line in ("status", "verbose status"):
                    self._over.wait(self._waits)
                    verbose = line.startswith("verbose")
                    text = (
                        made_ras.as_json(self._ranks) if form == "json" else made_ras.text(self._ranks, verbose=verbose)
                    )
                    for at in range(0, len(text), 700):  # as it may come
                        one.sendall(text[at : at + 700].encode())
                    return
                else:
                    reply = f"ERROR: Unknown command {line}\n".encode()
                one.sendall(reply)


@contextmanager
def rank_of(server, pid=None):
    """This process as a rank that listens for RAS's clients at the server's port."""
    row = Socket(
        family="ipv4", protocol="tcp", local_address="127.0.0.1", local_port=server.port, remote_address="0.0.0.0",
        remote_port=0, state="LISTEN",
    )  # fmt: skip
    yield ras.Rank(Place(), pid or os.getpid(), {"NCCL_RAS_ADDR": f"127.0.0.1:{server.port}"}, (row,))


@pytest.mark.parametrize("json", [True, False], ids=["2.28.7", "2.24"])
def test_a_job_is_asked_in_the_form_that_its_release_knows(json):
    with Server(json=json) as server, rank_of(server) as rank:
        (answer,), notes = ras.answers([rank])
        assert not notes
        (split,) = answer.communicators[0].splits
        assert {g.value: g.count for g in split.groups} == {"17": 3, "16": 1}
        asked = [c for c in server.commands if not c.startswith("client protocol")]
        assert asked == ["timeout 2", "set format json", "status" if json else "verbose status"], "and nothing else"


def test_who_does_not_listen_is_not_asked():
    with Server() as server, rank_of(server) as rank:
        assert ras.answers([rank._replace(sockets=())]) == ((), ())
        assert ras.answers([rank._replace(environment={})]) == ((), ()), "28028 is the default"
        assert server.commands == []


def test_another_jobs_answer_is_not_taken_for_ours():
    """Its processes may listen on the same port of the host."""
    with Server() as server, rank_of(server, pid=1) as rank:
        answers, notes = ras.answers([rank])
    assert answers == ()
    assert "another job answers there" in notes[0]


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server(greets=b"HTTP/1.1 400 Bad Request\r\n"), "does not greet as NCCL's RAS does"),
        (Server(waits=3.0), "did not finish its answer within 0.5 s"),
    ],
    ids=["something else", "too slow"],
)
def test_what_gives_no_answer_is_said(server, says, port):
    with server:
        reply = client.ask(server.door)
        assert not reply.text
        assert says in reply.failed
    gone = client.ask(client.Door(host="127.0.0.1", port=port))
    assert "refused" in gone.failed


def test_a_silent_one_costs_no_more_than_a_greeting():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        begin = time.monotonic()
        reply = client.ask(client.Door(host="127.0.0.1", port=deaf.getsockname()[1]))
    assert "no greeting" in reply.failed
    assert time.monotonic() - begin < client.GREETING + 0.5


@given(st.text(max_size=40))
def test_any_address_is_read_or_left(text):
    port = client.port_of(text)
    assert port is None or 0 < port < 1 << 16


@pytest.mark.parametrize(
    ("text", "port"),
    [(None, 28028), ("localhost:12345", 12345), ("[::1]:7", 7), ("localhost", None), (":7", None), ("a:0", None), ("a:99999", None)],
)  # fmt: skip
def test_addresses(text, port):
    assert client.port_of(text) == port


# --- the library's own -------------------------------------------------------------------------------------------

MEMBER = r"""
import ctypes, socket, struct, sys
library = ctypes.CDLL(sys.argv[1])
at = ctypes.cast(library.ncclGetVersion, ctypes.c_void_p).value + int(sys.argv[2])
begin = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(at)
communicator, rank = ctypes.create_string_buffer(8 << 20), ctypes.create_string_buffer(256)
struct.pack_into("=H2s4s", rank, 0, socket.AF_INET, b"\0\0", socket.inet_aton("127.0.0.1"))
assert begin(ctypes.addressof(communicator), ctypes.addressof(rank)) == 0
print("up", flush=True)
sys.stdin.read()
"""


def from_version_to_ras(path):
    """How far ncclRasCommInit lies behind ncclGetVersion, by the library's .symtab; None where that was taken out."""
    with open(path, "rb") as file:
        header = file.read(64)
        file.seek(struct.unpack_from("<Q", header, 40)[0])
        count = struct.unpack_from("<H", header, 60)[0]
        rows = [struct.unpack("<IIQQQQIIQQ", file.read(64)) for _ in range(count)]
        for row in rows:
            if row[1] == 2:  # SHT_SYMTAB
                file.seek(row[4])
                symbols = file.read(row[5])
                file.seek(rows[row[6]][4])
                names = file.read(rows[row[6]][5])
                values = {}
                for name, _, _, _, value, _ in struct.iter_unpack("<IBBHQQ", symbols):
                    text = names[name : names.index(b"\0", name)]
                    if text in (b"ncclGetVersion", b"_Z15ncclRasCommInitP8ncclCommP11rasRankInit"):
                        values.setdefault(text[:3], value)
                return values[b"_Z1"] - values[b"ncc"] if len(values) == 2 else None
    return None


@pytest.mark.skipif(not FOUND.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}")
def test_the_librarys_own_ras_answers_also_where_one_of_its_processes_is_stopped(port):
    """All processes of a host listen on one port, and the kernel gives a stopped one its share of the connections."""
    distance = from_version_to_ras(FOUND.path)
    if distance is None:
        pytest.skip("this libnccl does not say where ncclRasCommInit is")
    environment = {**os.environ, "NCCL_RAS_ADDR": f"127.0.0.1:{port}"}
    command = [sys.executable, "-c", MEMBER, FOUND.path, str(distance)]
    members = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(3)
    ]
    try:
        assert [m.stdout.readline() for m in members] == ["up\n"] * 3
        ranks = [ras.Rank(Place(), m.pid, environment, sockets.of_process(m.pid)) for m in members]
        assert all(client.door(f"127.0.0.1:{port}", r.sockets) for r in ranks)
        members[0].send_signal(signal.SIGSTOP)
        for _ in range(2):
            (answer,), notes = ras.answers(ranks)
            assert (notes, answer.communicators, answer.dead_count) == ((), (), 0)
            assert answer.version.startswith("2.")
    finally:
        for member in members:
            member.kill()
            member.communicate()


# --- a running job -----------------------------------------------------------------------------------------------


def found(server):
    """This process as a rank of four."""
    environment = {"RANK": "0", "WORLD_SIZE": "4", "NCCL_RAS_ADDR": f"127.0.0.1:{server.port}"}
    return Found(pid=os.getpid(), environment=environment)


def watched(server):
    """This process as a rank of four that has stood still between two looks, as `runtime.live.look` sees it."""
    state = ProcessState(state="S")
    rows = tuple(s for s in sockets.of_process(os.getpid()) if s.local_port == server.port)
    looks = [Look(at=at, state=state, sockets=rows, stack=("wait (x.py:1)",)) for at in (0.0, 5.0)]
    return Watched(
        found=found(server), first=looks[0], last=looks[1], limits=(), network=procs.own_network(), gpu=False, end=None,
    )  # fmt: skip


def asked(server, *, apart, decided=False):
    with Questions((found(server),), apart=apart) as questions:
        answers, notes = questions.end(decided=decided)
    return answers, notes, len([c for c in server.commands if c == "status"])


def test_a_job_that_stands_still_is_asked_twice_and_its_ranks_are_named():
    with Server() as server:
        answers, notes, statuses = asked(server, apart=1.2)
        case = collect.case_of((watched(server),), notes, answers)
    assert (len(case.ras), statuses >= 2) == (2, True)
    judgement = judge(case)
    lead = next(d for d in judgement.diagnoses if d.cause == "collective-missing-rank")
    assert lead.ranks == (2,)
    notes = report(case, judgement, command=(), seconds=0.0).notes
    assert any(note.startswith("RAS of NCCL 2.29.7, the last of 2 answers") for note in notes)


def test_a_job_whose_ranks_agree_is_asked_once_when_the_watch_is_over():
    ranks = [r._replace(counts=RANKS[0].counts) for r in RANKS]
    with Server(ranks=ranks) as server:
        answers, notes, statuses = asked(server, apart=1.2)
        case = collect.case_of((watched(server),), notes, answers)
    assert (len(case.ras), statuses) == (1, 1)
    assert not any(d.evidence and "RAS" in d.evidence[0].source for d in judge(case).diagnoses)


def test_the_answers_are_apart_though_they_were_asked_for_during_the_watch():
    begin = time.monotonic()
    with Server() as server, Questions((found(server),), apart=2.0) as questions:
        time.sleep(2.5)  # the watch
        answers, _ = questions.end(decided=False)
    assert answers[-1].seconds - answers[0].seconds >= 1.9
    assert time.monotonic() - begin < 8


def test_a_job_whose_ranks_issue_collectives_moves():
    with Server() as server, Questions((found(server),), apart=9.0) as questions:
        deadline = time.monotonic() + 20
        while not questions.moving:
            assert time.monotonic() < deadline
            server._ranks = [r._replace(counts=tuple(c + 1 for c in r.counts)) for r in server._ranks]
            time.sleep(0.2)
        answers, _ = questions.end(decided=True)
    case = collect.case_of((watched(server),), (), answers)
    assert case.ended is Ended.RUNNING
    assert "counts further collectives" in collect.movement_of((watched(server),), case)[0]


def test_who_has_gone_from_this_host_is_known_to_have_gone():
    """RAS cannot tell an end from a stop; /proc of the same host can."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    ranks = [RANKS[0], RANKS[1]._replace(pid=ended.pid, state="silent")]
    with Server(ranks=ranks) as server:
        answers, notes, _ = asked(server, apart=0.1)
        case = collect.case_of((watched(server),), notes, answers)
    assert [t.state for t in case.ras[-1].traces] == [""]
    causes = {d.cause: d for d in judge(case).diagnoses if d.ranks == (1,)}
    assert causes["rank-exited"].confidence > causes["rank-killed"].confidence
    assert "rank-stopped" not in causes
    assert any(f"process {ended.pid} is gone from this host" in e.text for e in causes["rank-exited"].evidence)
    assert not any("ps -o" in n for n in judge(case).next)


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGSTOP, "rank-stopped"), (signal.SIGKILL, "rank-killed")])
def test_who_is_silent_on_this_host_is_looked_at(number, cause):
    environment = {**os.environ, "RANK": "1", "WORLD_SIZE": "2"}
    silent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment)
    try:
        silent.send_signal(number)
        deadline = time.monotonic() + 20
        while process.state(silent.pid).state not in "TZ":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with Server(ranks=[RANKS[0], RANKS[1]._replace(pid=silent.pid, state="silent")]) as server:
            answers, notes, _ = asked(server, apart=0.1)
            case = collect.case_of((watched(server),), notes, answers)
    finally:
        silent.kill()
        silent.communicate()
    (lead,) = (d for d in judge(case).diagnoses if d.ranks == (1,))
    assert (lead.cause, lead.confidence >= 0.9) == (cause, True)


def test_a_stopped_rank_of_a_formed_communicator_is_in_training():
    ranks = [RANKS[0], RANKS[1]._replace(state="silent")]
    with Server(ranks=ranks) as server:
        answers, notes, _ = asked(server, apart=0.1, decided=True)
        one = watched(server)
        still = replace(one.last, state=ProcessState(state="T"))
        stopped = replace(one, found=replace(one.found, pid=RANKS[1].pid, environment={**one.found.environment, "RANK": "1"}), first=still, last=still)  # fmt: skip
        case = collect.case_of((one, stopped), notes, answers)
        unknown = collect.case_of((one, stopped), notes, ())
    assert [r.last_phase.phase for r in case.ranks] == [Phase.STEADY, Phase.STEADY]
    assert judge(case).diagnoses[0].symptom is Symptom.PERF_HANG
    assert [r.last_phase.phase for r in unknown.ranks] == [Phase.RESOLVE, Phase.RESOLVE]


def test_ranks_that_must_be_here_and_are_not_are_said():
    with Server() as server:
        one = watched(server)
    alone = replace(one, found=replace(one.found, environment={"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}))  # fmt: skip
    (said,) = collect.case_of((alone,)).not_read
    assert said.startswith("rank 1: by LOCAL_WORLD_SIZE all 2 ranks are to be on this host, and 1 of 2 is found")
