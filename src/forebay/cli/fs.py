"""`forebay fs`: mounts and files of the lake."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from forebay.cli.connection import Node
from forebay.cli.options import invocation
from forebay.cli.screen import JSON, as_json, facts, progress, said, table, warned
from forebay.model.amounts import shown_bytes, shown_seconds
from forebay.model.errors import BadInput, FileExists, NoRoom, NotAFile, StoreLied
from forebay.namespace.options import COMMON, OF_SCHEME

app = typer.Typer(no_args_is_help=True, help="Mount stores, and look at the files of the lake.")

LakeFile = Annotated[str, typer.Argument(help="A lake path, such as /onprem/sales/a.parquet.")]
LakeDirectory = Annotated[str, typer.Argument(help="A lake path, such as /onprem/sales.")]
Json = Annotated[bool, JSON]
TURN: Final = 1 << 20

OPTIONS: Final = f"Options of every mount: {', '.join(option.name for option in COMMON)}" + "".join(
    f"  |  of {scheme}://: {', '.join(option.name for option in options)}"
    for scheme, options in OF_SCHEME.items()
    if options
)


@app.command(
    epilog="Examples:  forebay fs mount  |  forebay fs mount /onprem hdfs://namenode:8020/  |  "
    "forebay fs mount --option endpoint=http://minio:9000 --option access_key_id=env:KEY "
    "--option secret_access_key=env:SECRET /cloud s3://bucket/prefix\n\n" + OPTIONS
)
def mount(
    context: typer.Context,
    path: Annotated[str | None, typer.Argument(help="Where in the lake; none: list.")] = None,
    uri: Annotated[str | None, typer.Argument(help="hdfs://, s3:// or file:// URI.")] = None,
    readonly: Annotated[bool, typer.Option("--readonly", help="Refuse writes.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="An option as name=value.")
    ] = None,
    json: Json = False,
) -> None:
    """Mount a store at a lake path; without arguments, list the mounts."""
    node = invocation(context).node()
    if path is None:
        _show_mounts(node.get("/v1/mounts"), in_json=json)
        return
    if uri is None:
        raise typer.BadParameter("say which store: forebay fs mount <lake path> <uri>")
    options = dict(_named(text) for text in option or [])
    made = node.post(
        "/v1/mounts", {"path": path, "uri": uri, "readonly": readonly, "options": options}
    )
    if json:
        as_json(made)
        return
    for notice in made["notices"]:
        warned(notice)
    said(f"mounted {made['mount']['uri']} at {made['mount']['path']}")
    facts(made["facts"].items())


@app.command()
def unmount(context: typer.Context, path: LakeDirectory, json: Json = False) -> None:
    """Take a mount away; nothing in the store is touched."""
    gone = invocation(context).node().delete("/v1/mounts", path=path)
    as_json(gone) if json else said(f"unmounted {gone['path']}")


@app.command(epilog="Example:  forebay fs ls -R /onprem/tmp/tpcds")
def ls(
    context: typer.Context,
    path: LakeDirectory = "/",
    recursive: Annotated[bool, typer.Option("-R", "--recursive", help="All below.")] = False,
    json: Json = False,
) -> None:
    """List a directory."""
    entries = list(_entries(invocation(context).node(), path, recursive=recursive))
    if json:
        as_json(entries)
        return
    table(("type", "size>", "modified", "age>", "path"), (_ls_row(entry) for entry in entries))


@app.command()
def stat(context: typer.Context, path: LakeFile, json: Json = False) -> None:
    """Show all that is known of a file or directory, and how old the knowledge is."""
    status = invocation(context).node().get("/v1/fs/status", path=path)
    if json:
        as_json(status)
        return
    facts((name.replace("_", " "), value) for name, value in status.items())


@app.command()
def cat(context: typer.Context, path: LakeFile) -> None:
    """Write a file to standard output."""
    _pour(invocation(context).node(), path, None, None)


@app.command()
def head(
    context: typer.Context,
    path: LakeFile,
    bytes_: Annotated[int, typer.Option("--bytes", "-c", min=0, help="How many.")] = 1024,
) -> None:
    """Write the first bytes of a file."""
    _pour(invocation(context).node(), path, 0, bytes_)


@app.command()
def tail(
    context: typer.Context,
    path: LakeFile,
    bytes_: Annotated[int, typer.Option("--bytes", "-c", min=0, help="How many.")] = 1024,
) -> None:
    """Write the last bytes of a file."""
    node = invocation(context).node()
    size = int(node.get("/v1/fs/status", path=path)["size"])
    _pour(node, path, max(0, size - bytes_), size)


@app.command()
def du(context: typer.Context, path: LakeDirectory, json: Json = False) -> None:
    """Sum up the bytes below a path, and how many of them are cached."""
    usage = invocation(context).node().get("/v1/fs/usage", path=path, children=True)
    if json:
        as_json(usage)
        return
    rows = [*usage["children"], {**usage, "path": usage["path"]}]
    table(
        ("bytes>", "cached>", "files>", "path"),
        (
            (
                shown_bytes(row["bytes"]),
                shown_bytes(row["cached_bytes"]),
                str(row["files"]),
                row["path"],
            )
            for row in rows
        ),
    )


@app.command()
def count(context: typer.Context, path: LakeDirectory, json: Json = False) -> None:
    """Count files, directories and bytes below a path."""
    usage = invocation(context).node().get("/v1/fs/usage", path=path)
    if json:
        as_json(usage)
        return
    table(
        ("files>", "directories>", "bytes>", "path"),
        [(str(usage["files"]), str(usage["directories"]), str(usage["bytes"]), usage["path"])],
    )


@app.command()
def location(context: typer.Context, path: LakeFile, json: Json = False) -> None:
    """Show where the bytes of a file lie: in the cache of this node, and at the store."""
    found = invocation(context).node().get("/v1/fs/location", path=path)
    as_json(found) if json else facts((k.replace("_", " "), v) for k, v in found.items())


@app.command()
def checksum(context: typer.Context, path: LakeFile, json: Json = False) -> None:
    """Show the digest that the store keeps of a file."""
    found = invocation(context).node().get("/v1/fs/checksum", path=path)
    as_json(found) if json else facts(found.items())


@app.command(epilog="Example:  forebay fs load /onprem/tmp/tpcds/item")
def load(context: typer.Context, path: LakeDirectory, json: Json = False) -> None:
    """Fetch a file, or all files below a directory, into the cache."""
    last: dict[str, Any] = {}
    with progress() as bar:
        task = bar.add_task("loading", total=None)
        for step in invocation(context).node().lines("/v1/fs/load", {"path": path}):
            last = step
            bar.update(
                task, completed=step["bytes"], total=step["total_bytes"], description=step["path"]
            )
    if json:
        as_json(last)
        return
    said(
        f"{last['files']} files, {shown_bytes(last['bytes'])} held, "
        f"{shown_bytes(last['fetched_bytes'])} fetched"
    )


@app.command()
def free(context: typer.Context, path: LakeDirectory, json: Json = False) -> None:
    """Drop the cached bytes of a path; nothing in the store is touched."""
    freed = invocation(context).node().post("/v1/fs/free", {"path": path})
    as_json(freed) if json else said(
        f"{freed['files']} files, {shown_bytes(freed['freed_bytes'])} freed"
    )


@app.command(
    epilog="Examples:  forebay fs cp /onprem/a.parquet ./a.parquet  |  "
    "forebay fs cp -R /onprem/tmp/tpcds/item file:/data/item"
)
def cp(
    context: typer.Context,
    source: LakeFile,
    target: Annotated[str, typer.Argument(help="A local path: ./name, ../name or file:/name.")],
    recursive: Annotated[bool, typer.Option("-R", "--recursive", help="A directory.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace local files.")] = False,
) -> None:
    """Copy files of the lake to this machine, whole or not at all."""
    node = invocation(context).node()
    root = _local(target)
    status = node.get("/v1/fs/status", path=source)
    if status["kind"] == "directory":
        if not recursive:
            raise NotAFile(source, "is a directory; copy it with --recursive")
        files = [e for e in _entries(node, source, recursive=True) if e["kind"] == "file"]
        base = status["path"].rstrip("/") + "/"
        pairs = [(entry, root / entry["path"].removeprefix(base)) for entry in files]
    else:
        pairs = [(status, root / status["name"] if root.is_dir() else root)]
    with progress() as bar:
        task = bar.add_task("copying", total=sum(entry["size"] for entry, _ in pairs))
        for entry, place in pairs:
            bar.update(task, description=entry["path"])
            for size in _download(node, entry, place, force=force):
                bar.advance(task, size)
    said(f"{len(pairs)} files copied")


def _local(text: str) -> Path:
    if text.startswith("file:"):
        return Path(text.removeprefix("file:"))
    if text.startswith("/"):
        raise BadInput(text, "is a lake path; write local ones as ./name or file:/name")
    return Path(text)


def _download(node: Node, entry: Mapping[str, Any], place: Path, *, force: bool) -> Iterator[int]:
    """Write one file aside, then give it its name: a copy cut short never looks whole."""
    if place.exists() and not force:
        raise FileExists(place, "is there already; replace it with --force")
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f".{place.name}.forebay-{os.getpid()}")
    size = 0
    try:
        with aside.open("xb") as file:
            query = {"path": entry["path"], "generation": entry["generation"]}
            with node.stream("GET", "/v1/fs/content", **query) as answer:
                while piece := answer.read(TURN):
                    file.write(piece)
                    size += len(piece)
                    yield len(piece)
            if size != entry["size"]:
                raise StoreLied(entry["path"], f"{size} bytes of {entry['size']} came")
        aside.replace(place)
    except OSError as error:
        raise NoRoom(place, error.strerror or "cannot be written") from error
    finally:
        aside.unlink(missing_ok=True)


def _pour(node: Node, path: str, start: int | None, end: int | None) -> None:
    with node.stream("GET", "/v1/fs/content", path=path, start=start, end=end) as answer:
        while piece := answer.read(TURN):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _entries(node: Node, path: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = node.get("/v1/fs/list", path=path, recursive=recursive, after=after)
        yield from page["entries"]
        after = page["next_after"]


def _ls_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    is_directory = entry["kind"] == "directory"
    return (
        "dir" if is_directory else "file",
        "" if is_directory else shown_bytes(entry["size"]),
        (entry["modified_at"] or "")[:19].replace("T", " "),
        shown_seconds(entry["age_seconds"]),
        entry["path"] + ("/" if is_directory and entry["path"] != "/" else ""),
    )


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r}: write options as name=value")
    return name, value


def _show_mounts(answer: Mapping[str, Any], *, in_json: bool) -> None:
    if in_json:
        as_json(answer["mounts"])
        return
    if not answer["mounts"]:
        said("nothing is mounted; try: forebay fs mount /onprem hdfs://namenode:8020/")
        return
    table(
        ("path", "uri", "mode", "sync", "state"),
        (
            (
                row["path"],
                row["uri"],
                "read-only" if row["readonly"] else "read-write",
                row["sync"],
                row["state"],
            )
            for row in answer["mounts"]
        ),
    )
