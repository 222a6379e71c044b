"""The reference pages: the places in them that the tables of the code fill.

`python -m testbed.reference_pages` fills them anew; a test asks whether they are as the code is.
What stands around such a place is written by hand.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import EnumType
from pathlib import Path
from typing import Any, Final, cast

import typer

from forebay.cli.main import app
from forebay.config.sections import every_setting
from forebay.config.sources import PREFIX
from forebay.doors.admin.answers import status_of
from forebay.doors.admin.application import admin_application
from forebay.doors.admin.services import AdminServices
from forebay.doors.s3.errors import STATUSES, code_of
from forebay.metrics.families import FAMILIES
from forebay.model.errors import every_error
from forebay.namespace.alluxio import MEANINGS, NOT_NEEDED
from forebay.namespace.options import COMMON, OF_SCHEME, Option
from forebay.namespace.uri import Scheme

PAGES: Final = Path(__file__).parents[1] / "docs" / "reference"

EXAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "up": ("forebay up", "forebay --config ./forebay.yaml --data ./node up --foreground"),
    "status": ("forebay status", "forebay status --json"),
    "down": ("forebay down",),
    "doctor": ("forebay doctor", "forebay doctor --bundle support.tar.gz"),
    "sql": (
        'forebay sql --tables /onprem/tmp/tpcds "select count(*) from store_sales"',
        "forebay sql --format csv \"from 'forebay:///onprem/tmp/tpcds/item/*.parquet'\"",
        'forebay sql "select path, sum(bytes_from_store) from forebay.access_log group by path"',
    ),
    "why": ("forebay why /onprem/tmp/tpcds/item/item.parquet", "forebay why 0123ABCD00000001"),
    "fs mount": (
        "forebay fs mount",
        "forebay fs mount --readonly /onprem hdfs://namenode:8020/",
        "forebay fs mount -o access_key_id=env:KEY -o secret_access_key=env:SECRET /a s3://b/c",
    ),
    "fs unmount": ("forebay fs unmount /archive",),
    "fs ls": ("forebay fs ls /onprem", "forebay fs ls --recursive /onprem/tmp/tpcds"),
    "fs stat": ("forebay fs stat /onprem/tmp/tpcds/item/item.parquet",),
    "fs cat": ("forebay fs cat /onprem/logs/today.csv",),
    "fs head": ("forebay fs head --bytes 4096 /onprem/logs/today.csv",),
    "fs tail": ("forebay fs tail -c 4096 /onprem/logs/today.csv",),
    "fs du": ("forebay fs du /onprem/tmp/tpcds",),
    "fs count": ("forebay fs count /onprem/tmp/tpcds",),
    "fs location": ("forebay fs location /onprem/tmp/tpcds/item/item.parquet",),
    "fs checksum": ("forebay fs checksum /onprem/tmp/tpcds/item/item.parquet",),
    "fs load": ("forebay fs load /onprem/tmp/tpcds/item",),
    "fs free": ("forebay fs free /onprem/tmp/tpcds/item",),
    "fs cp": (
        "forebay fs cp /onprem/tmp/tpcds/item/item.parquet ./item.parquet",
        "forebay fs cp --recursive --force /onprem/tmp/tpcds file:/data/tpcds",
    ),
    "keys create": (
        "forebay keys create --grant /onprem/sales:read --profile analysts",
        'forebay keys create -g /onprem:read -g /archive:read --description "nightly jobs"',
    ),
    "keys list": ("forebay keys list",),
    "keys revoke": ("forebay keys revoke FB0123456789ABCDEF",),
    "keys rotate": ("forebay keys rotate FB0123456789ABCDEF --grace 1h --profile analysts",),
    "config show": ("forebay config show --effective --origin",),
    "fsadmin report": ("forebay fsadmin report", "forebay fsadmin report ufs --json"),
}
"""Examples of every command."""

_PLACE: Final = re.compile(r"(<!-- from the code: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words, as typer knows it."""
    yield from _below("", typer.main.get_command(app))


def routes() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every route of the admin API: its method, its path, and what OpenAPI says of it."""
    # The routes can be listed without the services that answer them.
    schema = admin_application(cast("AdminServices", None)).openapi()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            yield method.upper(), path, {**route, "schemas": schema["components"]["schemas"]}


def filled(page: str) -> str:
    """The text of a page with its places filled anew."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{PARTS[place[2]]().strip()}\n\n{place[3]}", page)


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from _below(f"{words} {name}".strip(), inner)


def _settings() -> str:
    parts = []
    for setting in every_setting():
        variable = PREFIX + setting.name.upper().replace(".", "__")
        default = f" *Default:* `{setting.default_text}`." if setting.default_text else ""
        parts.append(
            f"### `{setting.name}`\n\n{setting.meaning}\n"
            f"*Value:* {setting.kind.expected}.{default}\n*Variable:* `{variable}`\n"
        )
    return "\n".join(parts)


def _options(options: Sequence[Option[Any]]) -> str:
    rows = (
        (
            f"`{option.name}`",
            _cell(option.kind.word),
            f"`{option.default_text}`" if option.default_text else "",
            _cell(option.meaning) + (" Kept encrypted, never shown." if option.secret else ""),
        )
        for option in options
    )
    return _table(("option", "value", "default", "meaning"), rows)


def _alluxio() -> str:
    rows = ((f"`{theirs}`", f"`{ours}`") for theirs, ours in MEANINGS.items())
    return _table(("Alluxio's", "ours"), rows)


def _alluxio_not_needed() -> str:
    return "\n".join(f"- `{name}`" for name in sorted(NOT_NEEDED))


def _metrics() -> str:
    rows = (
        (f"`{family.name}`", family.shape.value, ", ".join(family.labels), family.meaning)
        for family in FAMILIES
    )
    return _table(("name", "kind", "labels", "meaning"), rows)


def _errors() -> str:
    parts = []
    for error in every_error():
        again = "may help" if error.retryable else "does not help by itself"
        s3 = code_of(error)
        parts.append(
            f"### `{error.code}`\n\n{inspect.cleandoc(error.__doc__ or '').splitlines()[0]}\n"
            f"Asking again {again}.\n*What to do:* {error.advice}\n"
            f"*In S3:* `{s3}` ({STATUSES[s3]}). *In the admin API:* {status_of(error())}.\n"
        )
    return "\n".join(parts)


def _commands() -> str:
    return "\n".join(_command(words, command) for words, command in commands())


def _command(words: str, command: Any) -> str:  # noqa: ANN401 - typer's own
    name = f"forebay {words}"
    options = [p for p in command.params if p.param_type_name == "option"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *(_usage(argument) for argument in arguments)])
    examples = "\n".join(EXAMPLES[words])
    rows = [*(_parameter(p) for p in arguments), *(_parameter(p) for p in options)]
    text = " ".join(inspect.cleandoc(command.help).split())
    return (
        f"### `{name}`\n\n{_one_sentence_a_line(text)}\n\n```text\n{usage}\n```\n\n"
        f"{_table(('argument or option', 'meaning'), rows)}\n```sh\n{examples}\n```\n"
    )


def _root_options() -> str:
    root = typer.main.get_command(app)
    rows = [_parameter(p) for p in root.params if p.param_type_name == "option"]
    return _table(("option", "meaning"), rows)


def _usage(argument: Any) -> str:  # noqa: ANN401 - typer's own
    name = argument.name
    return name if argument.required else f"[{name}]"


def _parameter(parameter: Any) -> tuple[str, str]:  # noqa: ANN401 - typer's own
    if parameter.param_type_name == "argument":
        shown = f"`{parameter.name}`"
    else:
        shown = ", ".join(f"`{word}`" for word in parameter.opts)
    notes = [str(parameter.help)]
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, EnumType):
        members: Mapping[str, object] = kind.__members__
        words = [_value(choice) for choice in members.values()]
        notes.append("One of " + ", ".join(f"`{word}`" for word in words) + ".")
    if parameter.required:
        notes.append("Required.")
    elif parameter.default not in (None, False, "", []) and not callable(parameter.default):
        notes.append(f"Default: `{_value(parameter.default)}`.")
    if parameter.multiple:
        notes.append("May be given several times.")
    if parameter.envvar:
        notes.append(f"Variable: `{parameter.envvar}`.")
    return shown, _cell(" ".join(notes))


def _value(value: Any) -> str:  # noqa: ANN401 - a default or a choice
    return str(getattr(value, "value", value))


def _api() -> str:
    rows = []
    for method, path, route in routes():
        names = [f"`{p['name']}`" for p in route.get("parameters", []) if p["in"] == "query"]
        body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
        reference = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
        fields = route["schemas"].get(reference, {}).get("properties", {})
        names += [f"`{name}`" for name in fields]
        sentence = " ".join(route["description"].split())
        rows.append((f"`{method}`", f"`{path}`", _cell(sentence), ", ".join(names)))
    return _table(("method", "path", "what", "query, or fields of the body"), rows)


def _s3_codes() -> str:
    rows = ((f"`{code}`", str(status)) for code, status in STATUSES.items())
    return _table(("code", "status"), rows)


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[Any]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _one_sentence_a_line(text: str) -> str:
    return re.sub(r"(?<=[.:]) (?=[A-Z])", "\n", text)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "settings": _settings,
    "options-common": lambda: _options(COMMON),
    "options-hdfs": lambda: _options(OF_SCHEME[Scheme.HDFS]),
    "options-s3": lambda: _options(OF_SCHEME[Scheme.S3]),
    "alluxio": _alluxio,
    "alluxio-not-needed": _alluxio_not_needed,
    "metrics": _metrics,
    "errors": _errors,
    "root-options": _root_options,
    "commands": _commands,
    "api": _api,
    "s3-codes": _s3_codes,
}
"""What can fill a place, by its name."""


def main() -> int:
    """Fill all pages anew."""
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(filled(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
