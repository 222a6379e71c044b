"""The house keeps its own rules: floors, first lines, empty doors, light client, no print."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "forebay"
MODULES = sorted(SOURCE.rglob("*.py"))
FULL_MODULES = [module for module in MODULES if module.name != "__init__.py"]


def name_of(module: Path) -> str:
    return str(module.relative_to(SOURCE))


@pytest.mark.parametrize("module", FULL_MODULES, ids=name_of)
def test_a_module_says_in_its_first_line_what_it_is(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text()))

    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize(
    "package", [module for module in MODULES if module.name == "__init__.py"], ids=name_of
)
def test_the_door_of_a_package_is_empty(package: Path) -> None:
    assert package.read_text() == ""


@pytest.mark.parametrize("module", FULL_MODULES, ids=name_of)
def test_nothing_prints_but_the_command_line(module: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]

    assert not calls


@pytest.mark.parametrize("module", FULL_MODULES, ids=name_of)
def test_only_config_reads_the_environment(module: Path) -> None:
    # The client finds its node by itself, in whatever program it is used, in one module.
    if module.parent.name == "config" or name_of(module) == "client/place.py":
        return
    reads = [
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]

    assert not reads


def test_the_client_imports_no_heavy_library() -> None:
    heavy = ["sqlalchemy", "fastapi", "starlette", "obstore", "hdfs_native", "httpx", "pyarrow"]
    heavy += ["pandas", "duckdb", "cryptography", "awscrt", "pydantic", "rich", "uvicorn"]
    program = (
        "import sys, forebay.client.filesystem\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    seen = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert seen.stdout.strip() == "[]"


def test_the_picture_of_the_floors_is_the_contract_of_the_floors() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "floors")["layers"]
    rooms = [re.findall(r"\w+", layer) for layer in layers]
    picture = (ROOT / "ARCHITECTURE.md").read_text().split("```text\n")[1].split("```")[0]
    # Two spaces or more end the rooms of a line and begin its explanation.
    drawn: list[list[str]] = []
    for line in picture.strip().splitlines():
        middle = re.sub(r"\{.*?\}", "", re.split(r"\s{2,}", line.strip(), maxsplit=1)[1])
        rooms_of_line = re.split(r"(?<![>┆])\s{3,}(?![>┆])", middle, maxsplit=1)[0]
        drawn += [re.findall(r"\w+", floor) for floor in rooms_of_line.split(">")]

    assert [set(room) for room in drawn] == [set(room) for room in rooms]
