"""Ways to damage a file: what an adversary, a full disk or a bad cable makes of it."""

from __future__ import annotations

from hypothesis import strategies as st

TOKENS = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b'"',
        b",",
        b"\t",
        b"-1",
        b"0",
        b"nan",
        b"NaN",
        b"inf",
        b"-Infinity",
        b"1e400",
        b"1e308",
        b"-0.0",
    ),
    *(
        b"9" * 5000,
        b"99999999999999999999",
        b"2147483648",
        b"\xff\xff\xff\xff",
        b"\xff" * 8,
        b"\x7f\xff\xff\xff",
        b"\0" * 8,
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        "é\u2028\u202e".encode(),
        b"\x1b[2J",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"[" * 3000,
    ),
    *(b'{"a":1,"a":2}', b"../../../etc/passwd", b"\n\n\n", b" ", b"a" * 300),
)
"""What formats tend to stumble over."""


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with one to a few of them flipped, replaced, cut off, taken out, put in, moved or doubled."""
    raw = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        size = len(raw)
        at = draw(st.integers(0, size))
        length = draw(st.integers(1, 64))
        match draw(
            st.sampled_from(("bit", "byte", "token", "over", "cut", "out", "zeros", "move", "more"))
        ):
            case "bit" if at < size:
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if at < size:
                raw[at] = draw(st.integers(0, 255))
            case "token":
                raw[at:at] = draw(st.sampled_from(TOKENS))
            case "over":
                token = draw(st.sampled_from(TOKENS))
                raw[at : at + len(token)] = token
            case "cut":
                del raw[at:]
            case "out":
                del raw[at : at + length]
            case "zeros":
                raw[at : at + length] = bytes(len(raw[at : at + length]))
            case "move":
                other = draw(st.integers(0, size))
                raw[at : at + length] = raw[other : other + length]
            case "more":
                raw += draw(st.binary(max_size=64))
    return bytes(raw)
