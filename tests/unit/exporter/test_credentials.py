"""Users, passwords and tokens: what a file may contain, who is admitted, and at what cost."""

import base64

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.exporter.credentials import Credentials, Scheme, parse_tokens, parse_users

HTPASSWD = (
    "joe:$2y$05$WTTddQbV1pswRPfzcs.gcew.OjbCJQl08OgM8SYWkUXia71CzpbIK\n\n"  # htpasswd -nbB -C 5 joe 'correct horse'
)
TOKEN = "0123456789abcdef"  # noqa: S105 - not one of anybody's


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def judge(credentials: Credentials, authorization: str) -> bool:
    """Return the result that a server reaches."""
    known = credentials.known(authorization)
    return credentials.verify(authorization) if known is None else known


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the passwords for which a hash was computed."""
    passwords: list[bytes] = []
    real = bcrypt.checkpw

    def count(password: bytes, hashed_password: bytes) -> bool:
        passwords.append(password)
        return real(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", count)
    return passwords


def test_what_htpasswd_writes() -> None:
    """The bcrypt form of htpasswd, $2y$, is read, and comments and empty lines are ignored."""
    users = parse_users("# scrapers\n" + HTPASSWD)
    assert [*users] == ["joe"]
    assert judge(Credentials(users), basic("joe", "correct horse"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no user. Add one: htpasswd -B FILE USER"),
        ("# nobody\n", "has no user. Add one: htpasswd -B FILE USER"),
        ("joe", "line 1: expected user:hash, each user once"),
        (":" + HTPASSWD, "line 1: expected user:hash, each user once"),
        (HTPASSWD + HTPASSWD, "line 3: expected user:hash, each user once"),
        ("joe:$apr1$EjJ37VB3$sZ/ZVEXYw2mQEmNSloWav1", "line 1: expected a bcrypt hash. Make it with htpasswd -B."),
        ("\njoe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "line 2: expected a bcrypt hash. Make it with htpasswd -B."),
        ("joe:secret", "line 1: expected a bcrypt hash. Make it with htpasswd -B."),
        (HTPASSWD.replace("$05$", "$20$"), "line 1: a bcrypt cost of 20 takes too long. Use at most 14."),
        (HTPASSWD * 257, "expected at most 256 lines"),
    ],
)
def test_a_wrong_users_file_is_named_by_line(text: str, why: str) -> None:
    """The message has the number of a wrong line and nothing of its content."""
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_users(text)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "tokens"),
    [(f"{TOKEN}\n", [TOKEN]), (f"# old\n{TOKEN}\n# new\nx{TOKEN}==\n", [TOKEN, f"x{TOKEN}=="])],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    """There is one token a line, so that an old and a new one can be valid together."""
    assert parse_tokens(text) == [token.encode() for token in tokens]


@pytest.mark.parametrize(
    "text", ["", "short", f"{TOKEN} {TOKEN}", f"{TOKEN}\nsecret-\u00e9-and-long-enough", "x" * 600]
)
def test_a_wrong_token_is_not_shown(text: str) -> None:
    """A wrong token is not in the message, which may be logged."""
    with pytest.raises(ValueError, match=r"line \d: expected a token of|has no token") as caught:
        parse_tokens(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("authorization", "right"),
    [
        (basic("joe", "correct horse"), True),
        (basic("joe", "correct horse").replace("Basic", "bASIC"), True),
        (basic("joe", "Correct horse"), False),
        (basic("joe", ""), False),
        (basic("jim", "correct horse"), False),
        (basic("", ""), False),
        (basic("joe", "x" * 73), False),
        (basic("joe", "nul\0"), False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), False),
        ("Basic " + base64.b64encode(b"joe").decode(), False),
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        ("Bearer", False),
        (f"Digest {TOKEN}", False),
        ("", False),
    ],
)
def test_who_is_admitted(authorization: str, *, right: bool) -> None:
    """Valid credentials are admitted, also from memory."""
    credentials = Credentials(parse_users(HTPASSWD), [b"another" + TOKEN.encode(), TOKEN.encode()])
    assert [judge(credentials, authorization), judge(credentials, authorization)] == [right, right]


@pytest.mark.parametrize(
    ("credentials", "schemes"),
    [
        (Credentials(), []),
        (Credentials(tokens=[b"x"]), [Scheme.BEARER]),
        (Credentials(parse_users(HTPASSWD)), [Scheme.BASIC]),
        (Credentials(parse_users(HTPASSWD), [b"x"]), [Scheme.BASIC, Scheme.BEARER]),
    ],
)
def test_only_what_is_configured_counts(credentials: Credentials, schemes: list[Scheme]) -> None:
    """A password is invalid where only tokens are configured, and a token where only users are."""
    assert credentials.schemes == schemes
    assert judge(credentials, basic("joe", "correct horse")) is (Scheme.BASIC in schemes)
    assert judge(credentials, f"Bearer {TOKEN}") is False


def test_a_password_costs_one_hash(hashed: list[bytes]) -> None:
    """A repeated password, valid or not, costs one hash only once."""
    credentials = Credentials(parse_users(HTPASSWD))
    for password in ["correct horse", "wrong"] * 5:
        judge(credentials, basic("joe", password))
    assert hashed == [b"correct horse", b"wrong"]


def test_an_unknown_user_costs_a_hash(hashed: list[bytes]) -> None:
    """An unknown user costs a hash, so that the time does not reveal which users exist."""
    assert not judge(Credentials(parse_users(HTPASSWD)), basic("nobody", "guess"))
    assert hashed == [b"guess"]


def test_wrong_passwords_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong passwords do not fill the memory and do not displace valid ones."""
    credentials = Credentials(parse_users(HTPASSWD))
    assert judge(credentials, basic("joe", "correct horse"))
    monkeypatch.setattr(bcrypt, "checkpw", lambda _password, _hashed: False)
    for number in range(1000):
        assert not judge(credentials, basic("joe", f"guess {number}"))
    remembered = [number for number in range(1000) if credentials.known(basic("joe", f"guess {number}")) is False]
    assert remembered == [*range(744, 1000)]
    assert credentials.known(basic("joe", "correct horse")) is True


def test_nothing_is_shown_of_what_was_sent() -> None:
    """Only keyed digests are kept, and none of them is printed."""
    credentials = Credentials(parse_users(HTPASSWD))
    judge(credentials, basic("joe", "correct horse"))
    assert "_right" not in repr(credentials)


@given(st.text(max_size=200))
def test_no_header_raises(value: str) -> None:
    """Any value of a client is either valid or not, and none raises."""
    credentials = Credentials({}, [TOKEN.encode()])
    for scheme in ("", "Basic ", "Bearer "):
        assert judge(credentials, scheme + value) is False
