"""Our own connections between hosts, over the loopback: what they find, count and measure. Real sockets."""

import socket
import threading
import time
from contextlib import closing

import pytest

from commcheck.model.case import Outcome
from commcheck.probe import connect
from commcheck.probe.connect import Answering, exchange
from commcheck.probe.tcpinfo import counted
from commcheck.system import carriers

NONCE = bytes(range(16))


@pytest.fixture
def answering():
    with closing(Answering("127.0.0.1", NONCE, 7)) as listener:
        yield listener


def test_an_exchange_counts_what_was_sent_and_how_fast_it_went(answering):
    data, bulk = exchange("127.0.0.1", answering.port, NONCE, 7)
    assert (data.kind, data.outcome, data.ends) == ("data", Outcome.OK, False)
    assert (bulk.kind, bulk.outcome, bulk.ends) == ("bulk", Outcome.OK, True)
    assert bulk.arrived == connect.BULK_BYTES
    assert bulk.sent >= connect.BURST_PIECES, "at least a group of small pieces, each a packet"
    assert bulk.lost == 0, "nothing is lost on the loopback, however busy the machine is"
    assert bulk.rate > 0


def test_another_rank_that_answers_is_told(answering):
    (data,) = exchange("127.0.0.1", answering.port, NONCE, 3)
    assert data.outcome is Outcome.OTHER
    assert data.ends


def _serving(work):
    """A listener whose first connection is handed to `work`; gives it and its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            work(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


def test_a_peer_whose_process_stands_still_is_no_matter_of_the_network(monkeypatch):
    """The kernel acknowledges what the process never reads: small packets and large ones came through."""
    monkeypatch.setattr(connect, "BULK_DEADLINE", 0.2)
    done = threading.Event()

    def once(connection):
        connection.recv(connect._HELLO.size, socket.MSG_WAITALL)
        connection.sendall(connect._REPLY.pack(NONCE, 7))
        done.wait(10)

    listener, thread = _serving(once)
    with closing(listener):
        _, bulk = exchange("127.0.0.1", listener.getsockname()[1], NONCE, 7)
        done.set()
        thread.join()
    assert bulk.outcome is Outcome.OK
    assert "busy or stopped" in bulk.detail
    assert bulk.rate == 0.0


def test_a_peer_that_goes_away_ends_the_exchange(answering):
    def leave(connection):
        connection.recv(connect._HELLO.size, socket.MSG_WAITALL)
        connection.sendall(connect._REPLY.pack(NONCE, 7))
        connection.recv(10, socket.MSG_WAITALL)

    listener, thread = _serving(leave)
    with closing(listener):
        _, bulk = exchange("127.0.0.1", listener.getsockname()[1], NONCE, 7)
        thread.join()
    assert bulk.outcome is Outcome.STALLED
    assert bulk.arrived == 0


def test_what_the_kernel_counts_of_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as out:
        peer, _ = listener.accept()
        with peer:
            out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            before = counted(out)
            for _ in range(5):
                out.sendall(b"x")
                assert peer.recv(1) == b"x"
                peer.sendall(b"y")
                assert out.recv(1) == b"y"
            after = counted(out)
            assert before is not None
            assert after is not None
            assert (after.sent - before.sent, after.lost) == (5, 0)
            assert counted(listener) is None or counted(listener).sent == 0


def test_a_count_of_what_is_no_tcp_connection_is_none():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        assert counted(udp) is None


def test_a_burst_over_long_round_trips_is_cut_short(monkeypatch, answering):
    monkeypatch.setattr(connect, "BURST_SECONDS", 0.0)
    with socket.create_connection(("127.0.0.1", answering.port)) as out:
        out.settimeout(5)
        begin = time.monotonic()
        assert connect._burst(out, NONCE) == "here"
        count = counted(out)
        assert count is not None
        assert count.sent <= connect.BURST_PIECES + 1
        assert time.monotonic() - begin < 5


# --- carriers ---------------------------------------------------------------------------------------------------------


def _interface(root, name, **files):
    directory = root / "sys/class/net" / name
    directory.mkdir(parents=True)
    for file, text in files.items():
        (directory / file).write_text(text + "\n")


def test_carrier_changes_are_read_where_the_interface_is_the_same(tmp_path):
    _interface(tmp_path, "eth0", carrier_changes="4", address="02:00:00:00:00:01")
    _interface(tmp_path, "eth1", carrier_changes="7", address="02:00:00:00:00:02")
    _interface(tmp_path, "old0", address="02:00:00:00:00:03")
    assert carriers.changes(str(tmp_path)) == {"eth0": 4, "eth1": 7}
    macs = {"eth0": "02:00:00:00:00:01", "eth1": "02:00:00:00:00:99"}
    assert carriers.changes(str(tmp_path), macs) == {"eth0": 4}, "eth1 there is another network's"
    assert carriers.changes(str(tmp_path / "nothing")) == {}
