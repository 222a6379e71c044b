"""The demo: the main job, end to end, on real services.

TPC-DS tables lie in a real HDFS behind a slow line. They are queried straight over the line, then
through Forebay twice; the answers are compared, and the far store itself tells what it gave.

`SF` sets the scale factor, `KEEP=1` leaves everything running; `--picture FILE` draws what was
shown as an SVG.
"""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from testbed import hadoop_jars
from testbed.ports import free_ports
from testbed.premises import Given, HdfsPremises, Premises, S3Premises
from testbed.process import ComponentMissing, ServiceFailed
from testbed.seaweed import Seaweed
from testbed.tpcds import load_extension, table_files, tpcds_tables
from testbed.wan import WanOptions

QUERIES = (3, 7, 19, 42, 43, 52, 55, 79, 96, 98)
LINE = WanOptions(round_trip=timedelta(milliseconds=30), megabits=200)
BUCKET = "cloud"
SCREEN = Console(highlight=False)
# What is shown is drawn a second time, for a picture of it.
RECORD = Console(highlight=False, record=True, width=82, file=io.StringIO())


@dataclass(frozen=True, slots=True)
class Run:
    """One way to answer all queries: how long it took, what the far store gave, the answers."""

    name: str
    seconds: float
    given: Given
    answers: list[list[list[str]]]


class Compute:
    """The compute side: a Forebay node with its own data directory, driven by the command line."""

    def __init__(self, work: Path, secrets: Mapping[str, str]) -> None:
        s3, admin = free_ports(2)
        self.data = work / "forebay"
        config = work / "forebay.yaml"
        config.write_text(
            f"doors: {{s3: {{port: {s3}}}, admin: {{port: {admin}}}}}\n"
            f"credentials: {work / 'credentials'}\n"
        )
        self._before = [sys.executable, "-m", "forebay.cli", "--config", str(config)]
        self._before += ["--data", str(self.data)]
        self._environment = {**os.environ, **secrets}

    def forebay(self, *words: str) -> str:
        """Run one command and return what it wrote."""
        done = subprocess.run(
            [*self._before, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceFailed(f"forebay {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def command(self, words: str) -> str:
        """The command line for a person who wants to go on by hand."""
        return " ".join([*self._before, words])


def query_texts() -> list[str]:
    """The TPC-DS queries of the demo, as DuckDB writes them."""
    with duckdb.connect() as connection:
        load_extension(connection, "tpcds")
        rows = connection.execute("SELECT query_nr, query FROM tpcds_queries()").fetchall()
    texts = {int(number): str(text).strip().rstrip(";") for number, text in rows}
    return [texts[number] for number in QUERIES]


def run_direct(premises: Premises, queries: Sequence[str]) -> Run:
    """All queries straight over the line, without Forebay."""

    def ask() -> list[list[list[str]]]:
        plan = json.dumps({**premises.direct(), "queries": list(queries)})
        done = subprocess.run(
            [sys.executable, "-m", "testbed.direct"],
            input=plan,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceFailed(f"the direct reader\n{done.stderr}")
        answers: list[list[list[str]]] = json.loads(done.stdout)
        return answers

    return measured("direct over the WAN", premises, ask)


def run_forebay(name: str, compute: Compute, premises: Premises, queries: Sequence[str]) -> Run:
    """All queries through Forebay."""
    directory = f"/onprem{premises.directory}"

    def ask() -> list[list[list[str]]]:
        text = compute.forebay("sql", "--json", "--tables", directory, ";\n".join(queries))
        return [[[str(v) for v in row.values()] for row in rows] for rows in json.loads(text)]

    return measured(name, premises, ask)


def measured(name: str, premises: Premises, ask: Callable[[], list[list[list[str]]]]) -> Run:
    """`ask`, timed, with what the far store gave meanwhile."""
    before = premises.given()
    start = time.monotonic()
    answers = ask()
    seconds = time.monotonic() - start
    return Run(name, seconds, premises.given().since(before), answers)


def equal(runs: Sequence[Run]) -> bool:
    """Whether all runs gave the same rows to each query; their order is not promised by SQL."""
    ordered = [[sorted(rows) for rows in run.answers] for run in runs]
    return all(answers == ordered[0] for answers in ordered) and any(map(len, ordered[0]))


def show(*shown: RenderableType) -> None:
    """Print on the screen, and for the picture."""
    for console in (SCREEN, RECORD):
        console.print(*shown)


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Tell what is being done, and how long it took."""
    start = time.monotonic()
    with SCREEN.status(sentence):
        yield
    show(f"  {sentence} [dim]({time.monotonic() - start:.1f} s)[/]")


def fill(premises: Premises, scale: float) -> int:
    """Put the tables on the premises; how many bytes they have."""
    with step(f"making the 24 TPC-DS tables at scale {scale:g}"):
        files = table_files(tpcds_tables(scale))
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=SCREEN, transient=True) as bar:
        task = bar.add_task(f"writing them into {premises.name}", total=len(files))
        premises.fill(files, lambda _: bar.advance(task))
    return sum(file.source.stat().st_size for file in files)


def mount(compute: Compute, premises: Premises, cloud: Seaweed) -> None:
    """Start the node, mount both stores."""
    with step("starting Forebay, mounting both stores"):
        compute.forebay("up")
        options = [f"--option={name}={value}" for name, value in premises.mount_options.items()]
        compute.forebay("fs", "mount", "--readonly", *options, "/onprem", premises.uri)
        s3 = {
            "endpoint": cloud.endpoint,
            "access_key_id": cloud.access_key,
            "secret_access_key": "env:FOREBAY_DEMO_CLOUD_SECRET",
        }
        options = [f"--option={name}={value}" for name, value in s3.items()]
        compute.forebay("fs", "mount", *options, "/cloud", f"s3://{BUCKET}/")
    show(f"    [dim]$ forebay fs mount --readonly … /onprem {premises.uri}[/]")
    show(f"    [dim]$ forebay fs mount … /cloud s3://{BUCKET}/[/]")


def drawn_table(title: str, title_style: str) -> Table:
    """A table without walls."""
    return Table(
        title=title,
        title_justify="left",
        title_style=title_style,
        caption_justify="left",
        caption_style="dim",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )


def report_of(compute: Compute) -> Table:
    """The operator's report on the stores, turned by a quarter: a column for each mount."""
    (told,) = json.loads(compute.forebay("fsadmin", "report", "ufs", "--json"))["tables"]
    drawn = drawn_table("$ forebay fsadmin report ufs", title_style="dim")
    drawn.caption = "A file that a program of this host is handed whole counts with its whole size."
    heads, *lines = zip(*(row["shown"] for row in told["rows"]), strict=True)
    names = [column.removesuffix(">") for column in told["columns"]]
    drawn.add_column(names[0])
    for head in heads:
        drawn.add_column(head, justify="right")
    for name, cells in zip(names[1:], lines, strict=True):
        drawn.add_row(name, *cells)
    return drawn


def table_of(runs: Sequence[Run], store: str) -> Table:
    """The result, for people."""
    drawn = drawn_table(f"{len(QUERIES)} TPC-DS queries", title_style="bold")
    drawn.add_column("run")
    for column in ("seconds", f"file content from {store}", "status requests"):
        drawn.add_column(column, justify="right")
    for run in runs:
        drawn.add_row(
            run.name,
            f"{run.seconds:.1f}",
            f"{run.given.content_bytes:,} B" if run.given.content_bytes else "[bold green]0 B[/]",
            f"{run.given.status_requests:,}",
        )
    return drawn


def conclude(runs: Sequence[Run], compute: Compute, premises: Premises) -> bool:
    """Print the report and the result; whether all is as it must be."""
    show("", report_of(compute), "")
    show(table_of(runs, premises.name))
    same = equal(runs)
    show(f"answers equal: {'[bold green]yes' if same else '[bold red]NO'}[/]")
    return same and runs[-1].given.content_bytes == 0


def job(stack: ExitStack, work: Path, environment: Mapping[str, str]) -> bool:
    """The whole job; whether it went as it must."""
    scale = float(environment.get("SF", "0.1"))
    premises: Premises = premises_of(work)
    cloud = Seaweed(work / "cloud")
    with step(f"starting {premises.name} behind a WAN (30 ms, 200 Mbit/s) and S3 beside us"):
        premises.start()
        stack.callback(premises.stop)
        cloud.start()
        stack.callback(cloud.stop)
        cloud.make_bucket(BUCKET)
    size = fill(premises, scale)
    show(f"  24 tables, {size / 1e6:.1f} MB, lie in {premises.name} at {premises.directory}")
    compute = Compute(work, secrets_of(premises, cloud))
    stack.callback(stop_node, compute)
    mount(compute, premises, cloud)
    queries = query_texts()
    with step("asking directly over the WAN"):
        runs = [run_direct(premises, queries)]
    show(f"    [dim]$ forebay sql --json --tables /onprem{premises.directory} …[/]")
    for name in ("Forebay, first run", "Forebay, second run"):
        with step(f"asking through {name}"):
            runs.append(run_forebay(name, compute, premises, queries))
    good = conclude(runs, compute, premises)
    if environment.get("KEEP") == "1":
        keep(compute, premises, cloud)
    return good


def premises_of(work: Path) -> Premises:
    """HDFS where there is a Java, else a second S3 server."""
    if hadoop_jars.java() is None:
        SCREEN.print("no Java here: a second S3 server plays the premises (install a JRE for HDFS)")
        return S3Premises(work, LINE)
    with step("fetching Hadoop's servers, unless they are here"):
        hadoop_jars.hadoop_jars()
    return HdfsPremises(work, LINE)


def secrets_of(premises: Premises, cloud: Seaweed) -> dict[str, str]:
    """The secrets that the mounts refer to."""
    secrets = {"FOREBAY_DEMO_CLOUD_SECRET": cloud.secret_key}
    if isinstance(premises, S3Premises):
        secrets["FOREBAY_DEMO_PREMISES_SECRET"] = premises.store.secret_key
    return secrets


def stop_node(compute: Compute) -> None:
    """Stop the node if it runs."""
    if (compute.data / "node.lock").exists():
        subprocess.run(compute.command("down").split(), capture_output=True, check=False)


def keep(compute: Compute, premises: Premises, cloud: Seaweed) -> None:
    """Tell where everything is, and leave it running until interrupted."""
    for name, value in premises.endpoints().items():
        SCREEN.print(f"  {name}: {value}")
    SCREEN.print(f"  S3 beside us: {cloud.endpoint}")
    SCREEN.print(compute.forebay("status"), end="")
    SCREEN.print(f"  go on with: {compute.command('fs ls /onprem')}")
    SCREEN.print("  all of it runs until you press Ctrl-C")
    signal.pause()


def main(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the demo; 0 if all was as it must be."""
    parser = argparse.ArgumentParser(prog="python -m testbed.demo")
    parser.add_argument("--picture", type=Path, help="draw what was shown into this SVG")
    given = parser.parse_args(words)
    good = run(environment)
    if given.picture is not None:
        RECORD.save_svg(str(given.picture), title="make demo")
    return 0 if good else 1


def run(environment: Mapping[str, str]) -> bool:
    """Run the job in a directory of its own; whether all was as it must be."""
    work = Path(tempfile.mkdtemp(prefix="forebay-demo-"))
    work.chmod(0o755)  # PostgreSQL and friends may run as other users
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        try:
            return job(stack, work, environment)
        except (ServiceFailed, ComponentMissing) as error:
            SCREEN.print("[red]the demo stopped:[/]", escape(str(error)))
            return False
        except KeyboardInterrupt:
            return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
