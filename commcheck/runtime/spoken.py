"""What the two ends of a pipe say to each other: records (`records`), so that launchers may pass them on, mixed with others'
words. What comes torn is asked for again. Nothing here reads or writes."""

from __future__ import annotations

import msgspec

from commcheck.runtime.records import Collector, Message, Torn, encode

KIND = "board"
AGAIN = 1.0
"""Seconds that a message stands torn, with nothing more of it coming, before it is asked for again."""
UNHEARD = 2.0
"""Seconds after which what should have been heard is asked for, or said again: it may have come torn in all its lines. Then
twice as many, and so on."""
MOST_ASKED = 8
"""Times that one message is asked for: what is torn so often will be the next time."""
_AGAIN = "again."
_KEPT = 1 << 13
"""Bytes that are kept of what else came: a launcher's last words."""


class Voice:
    """What one end says. `own`: by which it is known to the other."""

    def __init__(self, run: str, own: str) -> None:
        self._run, self._own = run, own
        self._said: dict[str, tuple[bytes, ...]] = {}
        self._asked = 0

    def say(self, topic: str, data: bytes) -> tuple[bytes, ...]:
        """The lines that say it."""
        message = Message(kind=KIND, run=self._run, rank=self._own, stream=topic, data=data)
        lines = self._said[topic] = encode(message)
        return lines

    def ask(self, who: str, topic: str) -> tuple[bytes, ...]:
        """The lines that ask for something again; nothing comes of it where it has not been said yet."""
        self._asked += 1
        return self.say(f"{_AGAIN}{self._asked}", msgspec.json.encode((who, topic)))

    def again(self, message: Message) -> tuple[bytes, ...] | None:
        """What the message asks this end to repeat, nothing where it asks others; None for what is no such message."""
        if not message.stream.startswith(_AGAIN):
            return None
        try:
            who, topic = msgspec.json.decode(message.data, type=tuple[str, str])
        except msgspec.DecodeError:  # another release's
            return ()
        return self._said.get(topic, ()) if who == self._own else ()


class Ear:
    """What comes through one pipe: of one run, from whoever speaks there."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._records = Collector()
        self._stood: dict[tuple[str, str], int] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._words = b""

    def hear(self, block: bytes) -> tuple[Message, ...]:
        """What has been said in full since."""
        self._words = (self._words + self._records.feed(block))[-_KEPT:]
        return tuple(m for m in self._records.take() if m.kind == KIND and m.run == self._run)

    def stuck(self) -> tuple[Torn, ...]:
        """What is torn, and was at the last call with as much of it there."""
        torn = {(t.rank, t.stream): t for t in self._records.torn() if t.kind == KIND and t.run == self._run}
        found = [t for key, t in torn.items() if self._stood.get(key) == t.have]
        self._stood = {key: t.have for key, t in torn.items()}
        asked = [t for t in found if self._asked.get((t.rank, t.stream), 0) < MOST_ASKED]
        for t in asked:
            self._asked[t.rank, t.stream] = self._asked.get((t.rank, t.stream), 0) + 1
        return tuple(asked)

    @property
    def asked(self) -> int:
        """How many messages have had to be asked for again."""
        return len(self._asked)

    @property
    def words(self) -> tuple[str, ...]:
        """The last lines that were no records, each once."""
        lines = (line.strip() for line in self._words.decode(errors="replace").splitlines())
        return tuple(dict.fromkeys(line for line in lines if line))
