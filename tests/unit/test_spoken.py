"""What the two ends of a pipe say to each other: it arrives whatever a launcher makes of it, or is asked for again."""

import os
import random
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.errors import LaunchError
from commcheck.runtime import attached, spoken
from commcheck.runtime.attached import DRIVER, HERE, RUN, Attached, Here
from commcheck.runtime.records import Collector, Message, encode
from commcheck.runtime.spoken import MOST_ASKED, Ear, Voice

said = st.dictionaries(
    st.integers(1, 99).map(lambda n: f"answer-{n}"),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 99), st.integers(0, 9000)),
    min_size=1,
    max_size=4,
)
NOISE = (b"srun: error: h2: task 2: Killed\n", b"\r\n", b"2: ", b"Warning: Permanently added 'h1' to known hosts.\n")


def mangled(lines, draw):
    """The text in which some lines are missing, and others' words stand between, in two blocks."""
    kept = [line for line in lines if draw(st.integers(0, 3))]
    text = b"".join(line + draw(st.sampled_from((b"", *NOISE))) for line in kept)
    cut = draw(st.integers(0, len(text)))
    return kept, [text[:cut], text[cut:]]


@given(said, st.data())
def test_what_comes_torn_is_asked_for_and_then_there(words, data):
    """All of which anything came; each is handed out once."""
    here, there = Voice("run", "aa"), Ear("run")
    asking, asked = Voice("run", DRIVER), Ear("run")
    lines = [(topic, line) for topic, text in words.items() for line in here.say(topic, text)]
    kept, blocks = mangled([line for _, line in lines], data.draw)
    begun = {topic for topic, line in lines if line in kept}
    heard = [m for block in blocks for m in there.hear(block)]
    there.stuck()
    for torn in there.stuck():
        for question in asked.hear(b"".join(asking.ask(torn.rank, torn.stream))):
            heard += there.hear(b"".join(here.again(question)))
    assert sorted((m.stream, m.data) for m in heard) == sorted((t, words[t]) for t in begun)
    assert there.stuck() == ()


@given(said, st.data())
def test_one_line_in_eight_may_be_missing(words, data):
    ear = Ear("run")
    voice = Voice("run", "aa")
    for topic, text in words.items():
        lines = voice.say(topic, text)
        groups = [lines[at : at + 8] for at in range(0, len(lines), 8)]
        kept = [
            line
            for group in groups
            for lost in [data.draw(st.integers(0, len(group)))]
            for n, line in enumerate(group)
            if n != lost
        ]
        heard = ear.hear(b"".join(kept))
        assert [(m.stream, m.data) for m in heard] == [(topic, text)]
    assert ear.stuck() == ear.stuck() == ()


def test_what_stands_still_is_asked_for_and_what_still_comes_is_not():
    lines = Voice("run", "aa").say("card", random.Random(1).randbytes(5000))
    ear = Ear("run")
    ear.hear(b"".join(lines[:3]))
    assert ear.stuck() == ()
    ear.hear(b"".join(lines[3:6]))
    assert ear.stuck() == ()
    assert [t.stream for t in ear.stuck()] == ["card"]
    assert ear.asked == 1
    assert sum(len(ear.stuck()) for _ in range(50)) == MOST_ASKED - 1


def test_only_the_one_that_is_meant_repeats_what_it_said():
    one, other, driver = Voice("run", "aa"), Voice("run", "bb"), Voice("run", DRIVER)
    lines = one.say("card", random.Random(2).randbytes(900))
    other.say("card", b"mine")
    ear = Ear("run")
    ear.hear(lines[0])
    ear.stuck()
    (torn,) = ear.stuck()
    (question,) = Ear("run").hear(b"".join(driver.ask(torn.rank, torn.stream)))
    assert one.again(question) == lines
    assert other.again(question) == ()
    assert one.again(Message(kind="board", run="run", rank=DRIVER, stream="order-1", data=b"")) is None


def test_others_runs_and_kinds_are_not_heard_and_words_are_kept():
    ear = Ear("run")
    stray = [Message(kind="board", run="other", rank="aa", stream="card", data=b"x"),
             Message(kind="rank", run="run", rank="aa", stream="card", data=b"x")]  # fmt: skip
    text = b"ssh: connect to host h2\n" + b"".join(line for m in stray for line in encode(m)) + b"  last words\n"
    assert ear.hear(text) == ()
    assert ear.words == ("ssh: connect to host h2", "last words")


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5), st.randoms())
def test_a_stream_without_an_end_hands_each_message_out_once(datas, chance):
    messages = [Message(kind="k", run="r", rank="1", stream=str(n), data=d) for n, d in enumerate(datas)]
    lines = [line for m in messages for line in encode(m, twice=True)]
    chance.shuffle(lines)
    collector, found = Collector(), []
    for line in lines:
        collector.feed(line)
        found += collector.take()
    assert sorted(found, key=lambda m: m.stream) == messages
    assert collector.torn() == collector.take() == ()


# --- a host's process, over real pipes ---------------------------------------------------------------------------


class OtherEnd:
    """Of the pipes of a host's process."""

    def __init__(self):
        self.to, self.its_input = (pair := os.pipe())[1], pair[0]
        self.back, self.its_output = os.pipe()
        self.voice, self.ear = Voice("r", DRIVER), Ear("r")
        self.gone = threading.Event()

    def hear(self):
        while not (found := self.ear.hear(os.read(self.back, 1 << 16))):
            pass
        return found

    def say(self, topic, data):
        os.write(self.to, b"".join(self.voice.say(topic, data)))


@pytest.fixture
def end():
    made = OtherEnd()
    yield made
    os.close(made.to)
    assert made.gone.wait(5), "a closed input must end the process"
    for descriptor in (made.back, made.its_input, made.its_output):
        os.close(descriptor)


def joined(end, answer):
    """The process has come, and is told `answer` of who it is."""
    process = Attached("r", number=7, descriptors=(end.its_input, end.its_output), ended=end.gone.set)
    thread = threading.Thread(target=lambda: answer(msgspec.json.decode(end.hear()[0].data, type=Here)))
    thread.start()
    try:
        return process.__enter__()
    finally:
        thread.join()


def test_a_process_is_told_its_rank_and_talks(end):
    def take_in(here):
        assert here.member.rank == 7
        end.say(RUN, msgspec.json.encode([{**msgspec.to_builtins(here.member), "rank": 2}]))

    process = joined(end, take_in)
    assert process.rank == 2
    process.publish("card", b"c" * 3000)
    (heard,) = end.hear()
    assert (heard.stream, heard.data) == ("card", b"c" * 3000)
    end.say("order-1", b"o")
    assert process.wait(lambda: process.others("order-1", (-1,)) or None, 5) == {-1: b"o"}
    assert process.others("order-1", (-1,)) == process.others("order-2", (0,)) == {}
    assert process.wait(lambda: None, 0.01) is None


def test_a_process_that_comes_too_late_says_so(end):
    with pytest.raises(LaunchError, match="came too late"):
        joined(end, lambda here: end.say(RUN, b"[]"))


def test_a_process_asks_for_a_torn_order(end, monkeypatch):
    monkeypatch.setattr(attached, "AGAIN", 0.05)
    process = joined(end, lambda here: end.say(RUN, msgspec.json.encode([here.member])))
    order = random.Random(3).randbytes(4000)
    lines = end.voice.say("order-1", order)
    os.write(end.to, b"".join(lines[:2] + lines[5:]))
    (question,) = end.hear()
    os.write(end.to, b"".join(end.voice.again(question)))
    assert process.wait(lambda: process.others("order-1", (-1,)) or None, 5) == {-1: order}


def test_topics_fit_into_a_record():
    """A field that is cut would be another message's."""
    for topic in (HERE, RUN, "card", "answer-1000000", f"{spoken._AGAIN}1000000"):
        (message,) = Ear("r").hear(b"".join(Voice("r", DRIVER).say(topic, b"x")))
        assert (message.stream, message.rank) == (topic, DRIVER)
