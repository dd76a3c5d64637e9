"""Make text from anywhere fit to be shown: evidence quotes logs, and logs hold terminal escapes and broken bytes."""

# Every control character but the newline, plus what is no character at all (lone surrogates, from undecodable bytes).
_VISIBLE: dict[int, str] = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0)) if code != 0x0A}
_VISIBLE[0x09] = " "
_VISIBLE[0x0D] = ""


def visible(text: str) -> str:
    """`text` with control characters spelt out, so that it can neither move the cursor nor break a document."""
    cleaned = text.translate(_VISIBLE)
    try:
        cleaned.encode()
    except UnicodeEncodeError:
        return cleaned.encode(errors="backslashreplace").decode()
    return cleaned


def one_line(text: str, limit: int = 0) -> str:
    """`visible`, on one line; with `limit`, its middle is left out where it is longer (an error's end says the most)."""
    line = " ".join(visible(text).split())
    if limit and len(line) > limit:
        head = (limit - 5) // 2
        line = f"{line[:head]} ... {line[len(line) - (limit - 5 - head) :]}"
    return line


def wrap(text: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """`text` in lines of at most `width`, the first after `first`, the others after `indent`; a word is never broken.
    At least one line. (textwrap does this and more; compiling its patterns costs `commcheck lint` a millisecond.)"""
    lines = [first]
    empty = True
    for word in text.split():
        if not empty and len(lines[-1]) + 1 + len(word) > width:
            lines.append(indent)
            empty = True
        lines[-1] += word if empty else f" {word}"
        empty = False
    return lines
