"""The rule that a skip is a failure: a pytest plugin, in force when the environment asks for it."""

import os

import pytest

VARIABLE = "FOREBAY_NO_SKIPS"


class NoSkips:
    """Remembers what was skipped, and fails the session for it."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; one expected to fail that did fail is not skipped."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a skipped module."""
        if report.skipped:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session that passed only because something was left out."""
        if self.skipped and session.exitstatus in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped."""
        if self.skipped:
            terminalreporter.section("skipped, which counts as failed", red=True)
            for name in self.skipped:
                terminalreporter.write_line(name)


def pytest_configure(config: pytest.Config) -> None:
    """Put the rule in force if the environment asks for it."""
    if os.environ.get(VARIABLE) == "1":
        config.pluginmanager.register(NoSkips())
