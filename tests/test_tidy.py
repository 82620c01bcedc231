"""The house is tidy: functions and files of a size to read, no name that nobody uses, one word for one thing.

What is an exception is listed here by name, with its reason; an exception that is none any more fails.
"""

import ast
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import files as files_of
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("tidy")  # they share the trees of all sources

ROOT = Path(__file__).parent.parent
PRODUCT = ("engine", "ledger", "routing", "proto")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
PARAMETERS_MAX = 8

# Functions with more parameters, and why.
MORE_PARAMETERS = {
    "engine/operate/commands.py history": "the options of a command",
    "engine/operate/fulfillment.py create": "the options of a command",
    "engine/operate/transfers.py create": "the options of a command",
    "engine/operate/transfers.py receive": "the options of a command",
    "bench/load/command.py load": "the options of a command",
}
# Dependencies that no source imports, and why.
NOT_IMPORTED = {
    "hiredis": "redis reads answers with it where it is there",
    "tzdata": "time zones where the system has none",
}
# Names that nothing in the product or the benchmarks uses, and why they stand there.
FOR_OTHERS = {
    "ledger/oracle/plans.py OraclePlans": "tests hold the parts against it",
    "ledger/oracle/references.py OracleReferences": "tests hold the parts against it",
    "ledger/oracle/views.py OracleViews": "tests hold the parts against it",
    "proto/generate.py GenerateHook": "hatch looks for it",
    "bench/load/workload.py Workload": "what a workload is, for whoever writes one",
}
# Class names that several files have, and why. The client is a world of its own: its words are those of the contract.
# So is the oracle, which says everything once more on purpose.
SAME_NAMES = {
    "Call": "a call of gRPC; one step of the demo's customers",
    "Candidate": "a location that may fill an order; a state that a repair may begin from",
    "Change": "of the catalog by a load; of stock by a correction",
    "Column": "of a file; of the ledger",
    "Columns": "of the ledger; of a network",
    "Counts": "of a load's report; of what a ledger has",
    "Decision": "how a catalog call is written; what routing decided",
    "Kind": "of movements; of values in files; of sealed files",
    "Line": "of a command; of an order",
    "Load": "of files; of the locations' days",
    "Location": "what the catalog knows of it; what routing does",
    "Method": "of the API; how a line reaches its customer",
    "Network": "what orders are routed over; the part of a book that keeps it",
    "Named": "what a rejection names; a table of named things in a file",
    "Order": "of a customer; what an archive is told to do",
    "Part": "of a sealed file; of an order; of a book",
    "Plan": "of an order; of the demo",
    "Problem": "a field that is wrong; what a router decides on",
    "Problems": "of files; of a network",
    "Room": "how many more rows; kernels that are kept together",
    "Scratch": "a folder that goes away; arrays that decisions work in",
    "Service": "the engine; of a carrier",
    "Sku": "what the catalog knows of it; what routing does",
    "Source": "where kernels come from; what is asked for metrics",
    "Step": "of the demo; of a rate table",
    "Way": "how a line may reach its customer; where a verb leads a document",
    "Work": "an answer that takes longer; arrays that a kernel works in",
    "_Request": "the columns of a bulk call; of a call of orders",
    "_Waiting": "a call at the desk; a call in a transport",
}


@cache
def sources_of(room: str) -> dict[str, tuple[int, ast.Module]]:
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        if "_pb2" not in path.name:
            text = path.read_text()
            found[str(path.relative_to(ROOT))] = len(text.splitlines()), ast.parse(text)
    return found


def sources(*rooms: str) -> dict[str, tuple[int, ast.Module]]:
    """Path -> number of lines, and tree, of what was written by hand."""
    return {path: source for room in rooms for path, source in sources_of(room).items()}


def functions(*rooms: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, (_, tree) in sources(*rooms).items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, node


def parameter_count(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{path} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, node in functions(*PRODUCT, "bench", "tests")
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX} == {}


def test_no_file_is_too_long_to_read():
    lengths = {path: length for path, (length, _) in sources(*PRODUCT, "bench", "tests").items()}
    large = {path: length for path, length in lengths.items() if length > FILE_LINES_MAX}
    assert large == {}


def test_no_function_takes_too_many_parameters():
    counts = {
        f"{path} {node.name}": parameter_count(node)
        for path, node in functions(*PRODUCT, "bench")
        if "/kernel" not in path  # they take plain arrays
    }
    more = {name for name, count in counts.items() if count > PARAMETERS_MAX}
    assert more == MORE_PARAMETERS.keys()


def declared() -> list[str]:
    """Distributions of pyproject.toml that sources may import; the tools of developers are run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = project["project"]["dependencies"], project["project"]["optional-dependencies"]["demo"]
    return [line.split(">=")[0].strip() for lines in (*lists, project["dependency-groups"]["bench"]) for line in lines]


def test_every_dependency_is_imported():
    imported = set()
    for _, tree in sources(*PRODUCT, "bench").values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # import_module("name")
                imported.add(node.value)
    unused = {name for name in declared() if imported.isdisjoint(modules_of(name))}
    assert unused == NOT_IMPORTED.keys()


def modules_of(distribution: str) -> set[str]:
    """Modules and packages that a distribution brings."""
    found = set()
    for path in files_of(distribution) or ():
        if path.suffix in (".py", ".so"):
            parts = [*path.parts[:-1], path.name.partition(".")[0]]
            found.add(".".join(part for part in parts if part != "__init__"))
    return found


def uses_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # "module:name", __all__, annotations
            yield node.value.rpartition(":")[2]


def names_of(node: ast.stmt) -> list[str]:
    """Names that a statement of a module gives; a decorated one is used by its decorator."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [] if node.decorator_list else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def test_every_name_is_used():
    found = sources(*PRODUCT, "bench")
    uses = Counter(name for _, tree in found.values() for name in uses_of(tree))
    given = [(path, name) for path, (_, tree) in found.items() for node in tree.body for name in names_of(node)]
    unused = {f"{path} {name}" for path, name in given if not uses[name] and not name.startswith(("__", "test_"))}
    assert unused == FOR_OTHERS.keys()


def test_one_class_name_is_one_thing():
    places = defaultdict(set)
    for path, (_, tree) in sources("engine", "ledger", "routing", "proto").items():
        if not path.startswith(("proto/onhand/client/", "ledger/oracle/")):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].add(path)
    assert {name for name, paths in places.items() if len(paths) > 1} == SAME_NAMES.keys()


def test_every_exception_has_its_reason():
    assert all(
        reason for listed in (MORE_PARAMETERS, NOT_IMPORTED, FOR_OTHERS, SAME_NAMES) for reason in listed.values()
    )
