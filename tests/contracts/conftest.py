"""Lets the asserts of the suites, which are no test modules, explain themselves."""

import pytest

pytest.register_assert_rewrite("tests.contracts.store_contract", "tests.contracts.state_contract")
