"""The docs say what there is: each name a person can meet, every link, every command line."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from forebay.cli.main import app
from forebay.config.sections import every_setting
from forebay.doors.s3.errors import STATUSES
from forebay.doors.s3.operation import Operation
from forebay.metrics.families import FAMILIES
from forebay.model.errors import every_error_code
from forebay.namespace.alluxio import MEANINGS, NOT_NEEDED, SECURE
from forebay.namespace.options import known_options
from forebay.namespace.uri import Scheme
from testbed.reference_pages import EXAMPLES, PAGES, PARTS, commands, filled, routes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXTS = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "changes").glob("*.md")],
    key=str,
)
REFERENCE = sorted(PAGES.glob("*.md"))
OPTIONS = [(scheme, option.name) for scheme in Scheme for option in known_options(scheme)]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(forebay [^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


# Each name a person can meet stands in its reference page.


@pytest.mark.parametrize("setting", [setting.name for setting in every_setting()])
def test_a_setting_is_explained(setting: str) -> None:
    assert f"### `{setting}`\n" in page("settings")


@pytest.mark.parametrize(("scheme", "option"), OPTIONS)
def test_a_mount_option_is_explained(scheme: Scheme, option: str) -> None:
    common, *parts = re.split(r"^## `(\w+)://`$", page("mount-options"), flags=re.MULTILINE)
    by_scheme = dict(zip(parts[::2], parts[1::2], strict=True))

    assert f"| `{option}` |" in common + by_scheme[scheme]


@pytest.mark.parametrize("name", [*MEANINGS, *NOT_NEEDED, SECURE])
def test_an_option_of_alluxio_is_explained(name: str) -> None:
    assert f"`{name}" in page("mount-options")


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_a_command_is_explained_with_an_example(words: str) -> None:
    assert f"### `forebay {words}`\n" in page("commands")
    assert all(re.search(rf"^forebay .*\b{words}\b", line) for line in EXAMPLES[words])


def test_no_example_is_of_a_command_that_is_gone() -> None:
    assert set(EXAMPLES) == {words for words, _ in commands()}


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in routes()])
def test_a_route_is_explained(method: str, path: str) -> None:
    assert f"| `{method}` | `{path}` |" in page("api")


@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_a_metric_is_explained(family: str) -> None:
    assert f"| `{family}` |" in page("metrics")


@pytest.mark.parametrize("code", every_error_code())
def test_an_error_code_is_explained(code: str) -> None:
    assert f"### `{code}`\n" in page("errors")


@pytest.mark.parametrize("operation", list(Operation))
def test_an_operation_of_the_s3_door_is_explained(operation: Operation) -> None:
    assert f"| `{operation.value}` |" in page("s3")


@pytest.mark.parametrize("code", STATUSES)
def test_a_code_of_the_s3_door_is_explained(code: str) -> None:
    assert f"| `{code}` | {STATUSES[code]} |" in page("s3")


# What the code fills is as the code is.


@pytest.mark.parametrize("reference", REFERENCE, ids=name_of)
def test_a_reference_page_is_as_the_code_is(reference: Path) -> None:
    text = reference.read_text()

    assert filled(text) == text, "fill it anew with `make reference`"


def test_every_table_of_the_code_has_its_place_in_one_page() -> None:
    places = [
        place
        for reference in REFERENCE
        for place in re.findall(r"<!-- from the code: ([a-z0-9-]+) -->", reference.read_text())
    ]

    assert sorted(places) == sorted(PARTS)


# Links, examples, and the table of contents.


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s+", "-", heading) for heading in plain}


def links() -> Iterator[tuple[Path, str]]:
    for text in TEXTS:
        for target in LINK.findall(FENCED.sub("", text.read_text())):
            yield text, target


@pytest.mark.parametrize(
    ("text", "target"),
    [pytest.param(text, link, id=f"{name_of(text)}: {link}") for text, link in links()],
)
def test_a_link_leads_somewhere(text: Path, target: str) -> None:
    # The docs stand by themselves: nothing in them needs the network.
    assert "://" not in target
    place, _, anchor = target.partition("#")
    found = text if not place else text.parent / place

    assert found.exists()
    assert not anchor or anchor in anchors_of(found.read_text())


def test_every_page_is_in_the_table_of_contents() -> None:
    def pages(part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield part
            return
        for inner in part.values() if isinstance(part, dict) else part:
            yield from pages(inner)

    listed = sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))

    assert listed == sorted(str(text.relative_to(DOCS)) for text in DOCS.rglob("*.md"))


def command_lines() -> Iterator[tuple[Path, str]]:
    """The command lines of ours in the examples."""
    for text in TEXTS:
        for language, block in FENCED.findall(text.read_text()):
            if language == "sh":
                lines = block.replace("\\\n", " ").splitlines()
                yield from ((text, line) for line in lines if line.startswith("forebay "))


def mentions() -> Iterator[tuple[Path, str]]:
    """The commands of ours that sentences name."""
    for text in TEXTS:
        for span in sorted(set(INLINE.findall(FENCED.sub("", text.read_text())))):
            yield text, span


def read_by_the_command_line(command: Any, words: Sequence[str], above: Any = None) -> None:
    """Let the command line itself read the words, without doing what they say."""
    context = command.make_context(command.name, list(words), parent=above)
    if hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        _, inner, rest = command.resolve_command(context, rest)
        read_by_the_command_line(inner, rest, context)


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=f"{name_of(text)}: {line}") for text, line in command_lines()],
)
def test_the_command_line_takes_an_example(line: str) -> None:
    words = shlex.split(line, comments=True)

    read_by_the_command_line(typer.main.get_command(app), words[1:])


@pytest.mark.parametrize(
    "span", [pytest.param(span, id=f"{name_of(text)}: {span}") for text, span in mentions()]
)
def test_a_command_that_a_sentence_names_is_there(span: str) -> None:
    command: Any = typer.main.get_command(app)
    options = {"--help"}
    for word in span.split()[1:]:
        if word.startswith("-"):
            assert word in options | {option for p in command.params for option in p.opts}
        elif hasattr(command, "commands") and word[0] not in "<./":
            command = command.commands[word]


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_python_in_the_docs_is_python(text: Path) -> None:
    for language, block in FENCED.findall(text.read_text()):
        if language == "python":
            compile(block, str(text), "exec")


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_a_fenced_block_says_what_it_is(text: Path) -> None:
    # Else no test knows how to read it.
    blocks = [language for language, _ in FENCED.findall(text.read_text())]

    assert set(blocks) <= {"sh", "text", "python", "yaml"}
