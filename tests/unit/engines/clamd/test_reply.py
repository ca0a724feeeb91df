"""The grammar of clamd's replies: closed, total, and clean only for the exact OK."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.verdict import Fault, Limit
from miltscan.engines.clamd.reply import CLEAN, Form, Found, parse_numbered, parse_reply
from miltscan.engines.reply import Failed, Limited

FD, STREAM = Form.DESCRIPTOR, Form.STREAM
NAME = {FD: b"fd[10]", STREAM: b"stream"}

FOUND = {
    b"Eicar-Test-Signature FOUND": Found("Eicar-Test-Signature"),
    b"Win.Test.EICAR_HDB-1 FOUND": Found("Win.Test.EICAR_HDB-1"),
    b"A name: with (md5:44d88612:68) colons FOUND": Found("A name: with (md5:44d88612:68) colons"),
    b"X.UNOFFICIAL(44d88612fea8a8f36de82e1278abb02f:68) FOUND": Found(
        "X.UNOFFICIAL(44d88612fea8a8f36de82e1278abb02f:68)"
    ),
    b"OK FOUND": Found("OK"),
    b"ERROR FOUND": Found("ERROR"),
    b"x FOUND FOUND": Found("x FOUND"),
    b"(null) FOUND": Found("unnamed"),
    b" FOUND": Found("unnamed"),
    b"FOUND": Found("unnamed"),
    b"\xff\xfe FOUND": Found("\\xff\\xfe"),
    b"Heuristics.Limits.Exceeded FOUND": Limited(Limit.LIMITS, "Heuristics.Limits.Exceeded"),
    b"Heuristics.Limits.Exceeded.MaxFileSize FOUND": Limited(Limit.LIMITS, "Heuristics.Limits.Exceeded.MaxFileSize"),
    b"Heuristics.Encrypted.Zip FOUND": Limited(Limit.ENCRYPTED, "Heuristics.Encrypted.Zip"),
    b"Heuristics.Phishing.Email FOUND": Found("Heuristics.Phishing.Email"),
}


@pytest.mark.parametrize("form", Form)
def test_ok_of_the_form_asked_for_is_clean(form: Form) -> None:
    """The exact OK, for the thing we asked about, is clean."""
    assert parse_reply(NAME[form] + b": OK\0", form) is CLEAN


def test_found() -> None:
    """A name may hold nearly anything, and some names are limits of clamd rather than finds."""
    replies = {(form, text): parse_reply(NAME[form] + b": " + text + b"\0", form) for form in Form for text in FOUND}
    assert [(case, reply) for case, reply in replies.items() if reply != FOUND[case[1]]] == []


FAILED = [
    (b"", FD, Fault.CLOSED),
    (b"", STREAM, Fault.CLOSED),
    (b"stream: OK\0", FD, Fault.GARBLED),
    (b"fd[10]: OK\0", STREAM, Fault.GARBLED),
    (b"fd[]: OK\0", FD, Fault.GARBLED),
    (b"fd[-1]: OK\0", FD, Fault.GARBLED),
    (b"fd[\xd9\xa1]: OK\0", FD, Fault.GARBLED),
    (b"1: stream: OK\0", STREAM, Fault.GARBLED),
    (b"stream: ok\0", STREAM, Fault.GARBLED),
    (b"stream:OK\0", STREAM, Fault.GARBLED),
    (b"stream:  OK\0", STREAM, Fault.GARBLED),
    (b"stream: OK \0", STREAM, Fault.GARBLED),
    (b"stream: OK\n", STREAM, Fault.GARBLED),
    (b"stream: OK\r\n\0", STREAM, Fault.GARBLED),
    (b"\0stream: OK\0", STREAM, Fault.GARBLED),
    (b"stream: OKAY\0", STREAM, Fault.GARBLED),
    (b"stream: \xff\xfe OK\0", STREAM, Fault.GARBLED),
    (b"stream: XFOUND\0", STREAM, Fault.GARBLED),
    (b"stream: X FOUND\n\0", STREAM, Fault.GARBLED),
    (b"stream: X\nY FOUND\0", STREAM, Fault.GARBLED),
    (b"/var/tmp/other: OK\0", STREAM, Fault.GARBLED),
    (b"stream: OK\0stream: X FOUND\0", STREAM, Fault.GARBLED),
    (b"stream: Error writing to temporary file ERROR\0", STREAM, Fault.REPORTED),
    (b"Error writing to temporary file ERROR\0", STREAM, Fault.REPORTED),
    (b"Not a regular file ERROR\0", FD, Fault.REPORTED),
    (b"UNKNOWN COMMAND\0", STREAM, Fault.REPORTED),
    (b"COMMAND READ TIMED OUT\n", FD, Fault.REPORTED),
    (b"COMMAND READ TIMED OUT\n", STREAM, Fault.REPORTED),
    (b"INSTREAM size limit exceeded. ERROR\0", FD, Fault.REPORTED),
]


def test_failed() -> None:
    """An error that clamd reports is one fault, what is not a reply another, and neither is a verdict."""
    replies = [(data, form, fault, parse_reply(data, form)) for data, form, fault in FAILED]
    wrong = [
        (data, form, reply)
        for data, form, fault, reply in replies
        if not isinstance(reply, Failed) or reply.refused or reply.fault is not fault
    ]
    assert wrong == []


@pytest.mark.parametrize("data", [b"UNKNOWN COMMAND\0", b"No file descriptor received. ERROR\0"])
def test_refused(data: bytes) -> None:
    """A clamd that accepts no descriptor is distinguished from one that fails."""
    reply = parse_reply(data, FD)
    assert isinstance(reply, Failed)
    assert reply.refused


def test_too_large_for_a_stream_is_a_limit() -> None:
    """StreamMaxLength is a limit of clamd, not a fault."""
    assert isinstance(parse_reply(b"INSTREAM size limit exceeded. ERROR\0", STREAM), Limited)


WHOLE = [NAME[form] + b": " + text + b"\0" for form in Form for text in [b"OK", *FOUND]] + [row[0] for row in FAILED]


def test_a_cut_reply_is_a_failure() -> None:
    """Each reply, cut after any byte, is neither clean nor found nor a limit."""
    cuts = [(form, data[:end]) for form in Form for data in WHOLE for end in range(data.find(b"\0"))]
    assert [(form, data) for form, data in cuts if not isinstance(parse_reply(data, form), Failed)] == []


def test_a_reply_with_more_behind_it_is_a_failure() -> None:
    """Only one reply counts: what follows it makes the whole answer a failure."""
    behind = (b"\0", b"\n", b" ", b"x", b"stream: OK\0")
    longer = [(form, data + more) for form in Form for data in WHOLE if data for more in behind]
    assert [(form, data) for form, data in longer if not isinstance(parse_reply(data, form), Failed)] == []


FRAGMENT = st.sampled_from([b"stream", b"fd[1]", b": ", b"OK", b" FOUND", b" ERROR", b"\0", b"\n", b"X"]) | st.binary()


@given(st.lists(FRAGMENT).map(b"".join), st.sampled_from(Form))
def test_never_clean_unless_exact(data: bytes, form: Form) -> None:
    """For any reply of clamd, only the one exact text is clean, and nothing raises."""
    name, _, verdict = data.partition(b": ")
    ours = (
        name == b"stream" if form is STREAM else name.startswith(b"fd[") and name[3:-1].isdigit() and name[-1:] == b"]"
    )
    assert (parse_reply(data, form) is CLEAN) == (ours and verdict == b"OK\0")


_PIECES = st.sampled_from(
    [b"fd[", b"]", b": ", b"OK", b"\0", b"10", b"", b"x", b"\n", b" FOUND", b"-1", b"\xb2", b"fd[7]: OK\0"]
)


@given(st.lists(_PIECES, max_size=8).map(b"".join), st.integers(1, 1000))
def test_a_reply_of_a_session_is_as_strict(answer: bytes, number: int) -> None:
    """The fast path agrees with the pattern, and accepts a reply only with the number of its command."""
    assert parse_numbered(b"%d: %b" % (number, answer), number) == parse_reply(answer, FD)
    assert parse_numbered(b"%d: %b" % (number + 1, answer), number) is not CLEAN


def test_nearly_an_ok_is_none() -> None:
    """An OK that is a byte off is not clean, neither for the quick comparison nor for the pattern."""
    nearly = [
        b"fd[]: OK\0",
        b"fd[1]: OK",
        b"fd[1]: OK\0\0",
        b"fd[1]: OKAY\0",
        b"fd[1 ]: OK\0",
        b"fd[123x]: OK\0",
        b"abc1]: OK\0",
    ]
    assert [answer for answer in nearly if parse_numbered(b"1: " + answer, 1) is CLEAN] == []


def test_what_is_no_reply_of_a_session() -> None:
    """A clamd that knows no session refuses it; a reply without our number, or none at all, is a failure."""
    refused = Failed(Fault.REPORTED, "IDSESSION is unknown", refused=True)
    assert parse_numbered(b"UNKNOWN COMMAND\0", 1) == refused
    assert parse_numbered(b"", 1) == Failed(Fault.CLOSED, "closed without a reply")
    for garbled in (b"2: fd[10]: OK\0", b"A\0", b"Z\0"):
        assert parse_numbered(garbled, 1) == Failed(Fault.GARBLED, garbled[:-1].decode())


def test_the_detail_of_a_failure_is_bounded() -> None:
    """The log shows the first 200 bytes of an unknown reply."""
    assert parse_reply(b"x" * 300, FD) == Failed(Fault.GARBLED, "x" * 200)


def test_ok_of_a_session() -> None:
    """The usual reply in a session is clean."""
    assert parse_numbered(b"12: fd[10]: OK\0", 12) is CLEAN
