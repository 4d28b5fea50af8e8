"""What a password of the console must be: long, and nothing that is guessed first (NIST SP 800-63B, 5.1.1)."""

MIN_LENGTH = 12
MAX_LENGTH = 128
FEWEST_DIFFERENT = 6
FIRST_GUESSES = (
    "password",
    "passw0rd",
    "qwerty",
    "123456",
    "abcdef",
    "admin",
    "letmein",
    "woaini",
    "linli",
    "1qaz2wsx",
)


def find_fault(*, password: str, username: str) -> str | None:
    """Return what is wrong with `password` and what would be right, or None where it may be used."""
    plain = password.casefold()
    if len(password) < MIN_LENGTH:
        return f"a password needs at least {MIN_LENGTH} characters; a few unrelated words do well"
    if len(password) > MAX_LENGTH:
        return f"a password has at most {MAX_LENGTH} characters"
    if len(set(plain)) < FEWEST_DIFFERENT:
        return f"a password needs at least {FEWEST_DIFFERENT} different characters"
    if username and username.casefold() in plain:
        return "a password must not hold the user name"
    rest = plain
    for guess in FIRST_GUESSES:
        rest = rest.replace(guess, "")
    if len(rest) < MIN_LENGTH - 4:
        return "the password is one of those that are guessed first; take a few unrelated words"
    return None
