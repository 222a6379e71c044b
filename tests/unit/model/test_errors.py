"""The error tree: stable codes, and nothing that speaks to a terminal."""

from forebay.model.errors import FileMissing, ForebayError, every_error, every_error_code


def test_codes_are_unique() -> None:
    codes = every_error_code()

    assert len(codes) == len(set(codes))


def test_every_error_says_what_to_do() -> None:
    assert all(error.advice.endswith(".") for error in every_error())
    assert all(error.__doc__ for error in every_error())


def test_a_subject_with_control_characters_is_shown_escaped() -> None:
    assert str(FileMissing("/a\x1b[2J", "no such file")) == "'/a\\x1b[2J': no such file"


def test_facts_are_what_a_program_needs() -> None:
    assert set(ForebayError("x").facts()) == {"code", "subject", "reason", "retryable", "advice"}
