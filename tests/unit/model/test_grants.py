"""Grants: deny by default, a prefix is a directory and not a beginning of a name."""

import pytest

from forebay.model.errors import AccessDenied, BadOption
from forebay.model.grants import Caller, Grant, Right, grant_of
from forebay.model.paths import ROOT, LakePath

SALES = LakePath("/onprem/sales")


def test_a_caller_without_grants_may_nothing() -> None:
    assert not Caller("nobody", ()).may(Right.READ, ROOT)


def test_a_grant_reaches_down_but_not_beside() -> None:
    caller = Caller("reader", (Grant(SALES, Right.READ),))

    assert caller.may(Right.READ, SALES / "2026/a.parquet")
    assert not caller.may(Right.READ, LakePath("/onprem/sales2"))
    assert not caller.may(Right.READ, LakePath("/onprem"))
    with pytest.raises(AccessDenied):
        caller.must(Right.WRITE, SALES)


def test_directories_that_lead_to_a_grant_may_be_passed() -> None:
    caller = Caller("reader", (Grant(SALES, Right.READ),))

    assert caller.may_pass(ROOT)
    assert caller.may_pass(LakePath("/onprem"))
    assert not caller.may_pass(LakePath("/other"))


def test_the_stronger_right_includes_the_weaker() -> None:
    assert Caller("boss", (Grant(ROOT, Right.ADMIN),)).may(Right.WRITE, SALES)


def test_a_grant_is_read_as_it_is_written() -> None:
    assert grant_of("/onprem/sales/:read") == Grant(SALES, Right.READ)
    assert str(grant_of("/onprem/sales:write")) == "/onprem/sales:write"
    for wrong in ("", "/a", "/a:rule", ":"):
        with pytest.raises(BadOption):
            grant_of(wrong)
