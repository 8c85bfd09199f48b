"""The source itself: nothing from a file is executed, arrows run downwards, files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("copgen", "copgen_cli") for path in (ROOT / package).rglob("*.py"))
PICKLES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
UNPICKLING = ROOT / "copgen/storage/foreign/unpickling.py"
PICKLING = ROOT / "copgen/encoders/export.py"  # writes detectron2's format
# The rooms of copgen, highest first: a room imports its own row and the rows below (docs/architecture.md).
ROOMS = (
    ("stages", "doctor"),
    ("training", "methods", "evaluation", "data", "report"),
    ("objectives", "views", "encoders", "pairs", "latents", "generators"),
    ("distributed", "storage"),
    ("runtime",),
)
HEIGHT = {room: len(ROOMS) - row for row, rooms in enumerate(ROOMS) for room in rooms}
HEAVY = ("torch", "torchvision", "numpy", "sklearn", "scipy", "safetensors", "PIL")
FORBIDDEN = (
    *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"),
    *("os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "torch.jit.load", "np.load", "numpy.load"),
)
MOST_LINES = 350


def name_of(node: ast.expr) -> str:
    """The dotted name of a called expression; unknown parts are empty."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(tree: ast.AST) -> Iterator[str]:
    """What could execute something from a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module in imported(node):
                if module.split(".")[0] in (
                    "pickle",
                    "_pickle",
                    "cPickle",
                    "dill",
                    "cloudpickle",
                    "joblib",
                    "marshal",
                    "shelve",
                ):
                    yield f"line {node.lineno}: import of {module}"
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in ("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"):
            yield f"line {node.lineno}: {name}"
        if name in (
            "os.system",
            "os.popen",
            "yaml.load",
            "yaml.unsafe_load",
            "torch.jit.load",
            "np.load",
            "numpy.load",
        ):
            yield f"line {node.lineno}: {name}"
        if name.endswith((".extractall", ".extract", ".unpack_archive")):
            yield f"line {node.lineno}: {name}"
        if name == "torch.load" and not is_true(given.get("weights_only")):
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if "shell" in given and not is_false(given["shell"]):
            yield f"line {node.lineno}: shell"


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        return [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return []


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not in functions, not for type checkers only."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += direct(node)


def direct(node: ast.AST) -> list[ast.stmt]:
    """The statements right inside a compound statement."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            found.append(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            found += child.body
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_scan() -> None:
    assert len(FILES) > 50
    assert {path.parts[len(ROOT.parts)] for path in FILES} == {"copgen", "copgen_cli"}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "subprocess.run(x, shell=True)",
        "tarfile.open(x).extractall()",
        "os.system('ls')",
        "np.load(path)",
    ],
)
def test_the_scan_finds_what_it_looks_for(text: str) -> None:
    assert list(dangers(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["torch.load(p, weights_only=True)", "net.eval()", "re.compile(x)", "run(x, shell=False)"]
)
def test_the_scan_lets_harmless_things_pass(text: str) -> None:
    assert not list(dangers(ast.parse(text)))


@pytest.mark.parametrize("path", [path for path in FILES if path not in (UNPICKLING, PICKLING)], ids=shown)
def test_nothing_from_a_file_is_executed(path: Path) -> None:
    assert list(dangers(parsed(path))) == []


def beyond_the_unpickler(tree: ast.AST) -> list[str]:
    """What a file takes of `pickle` beside the class that it derives its own from, and that class's error."""
    found = [name for name in dangers(tree) if not name.endswith("import of pickle")]
    bases = {id(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pickle":
            found.append("from pickle import")
        if isinstance(node, ast.Attribute) and name_of(node.value) == "pickle" and node.attr != "UnpicklingError":
            found += [] if node.attr == "Unpickler" and id(node) in bases else [name_of(node)]
        if isinstance(node, ast.ClassDef) and any(name_of(base) == "pickle.Unpickler" for base in node.bases):
            own = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            found += sorted({"find_class", "persistent_load"} - own)
    return found


def test_one_file_derives_from_the_unpickler_and_uses_nothing_else_of_pickle() -> None:
    """The reader of foreign files: it looks no name up, and what it builds is inert (tests/storage/foreign)."""
    assert beyond_the_unpickler(parsed(UNPICKLING)) == []


def beyond_writing(tree: ast.AST) -> list[str]:
    """What a file takes of `pickle` beside the function that writes one."""
    found = [name for name in dangers(tree) if not name.endswith("import of pickle")]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pickle":
            found.append("from pickle import")
        if isinstance(node, ast.Attribute) and name_of(node.value) == "pickle" and node.attr != "dumps":
            found.append(name_of(node))
    return found


def test_one_file_writes_a_pickle_and_reads_none() -> None:
    assert beyond_writing(parsed(PICKLING)) == []
    for text in ("import pickle\npickle.loads(x)", "import pickle\nread = pickle.load", "from pickle import dumps"):
        assert beyond_writing(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.load(x)",
        "import pickle\npickle.Unpickler(x).load()",
        "import pickle\nread = pickle.loads",
        "from pickle import loads",
        "import pickle\nclass A(pickle.Unpickler):\n    def find_class(self, module, name): pass",
    ],
)
def test_the_scan_finds_other_uses_of_pickle(text: str) -> None:
    assert beyond_the_unpickler(ast.parse(text))


@pytest.mark.parametrize("path", [path for path in FILES if "copgen_cli" not in path.parts], ids=shown)
def test_nothing_imports_the_command_line(path: Path) -> None:
    modules = [module for node in ast.walk(parsed(path)) for module in imported(node)]
    assert [module for module in modules if within(module, "copgen_cli")] == []


def room_of(path: Path) -> str:
    """The room of a file of copgen; empty for the package's own `__init__.py`."""
    parts = path.relative_to(ROOT / "copgen").parts
    return parts[0] if len(parts) > 1 else ""


def upward(tree: ast.AST, room: str) -> list[str]:
    """The imports of a file in this room that lead to a higher row."""
    modules = [module for node in ast.walk(tree) for module in imported(node)]
    higher = [f"copgen.{other}" for other, height in HEIGHT.items() if height > HEIGHT[room]]
    return [module for module in modules if any(within(module, package) for package in higher)]


IN_ROOMS = [path for path in FILES if "copgen_cli" not in path.parts and room_of(path)]


@pytest.mark.parametrize("path", IN_ROOMS, ids=shown)
def test_imports_run_downwards_only(path: Path) -> None:
    assert upward(parsed(path), room_of(path)) == []


def test_every_room_has_a_row() -> None:
    assert {room_of(path) for path in IN_ROOMS} <= HEIGHT.keys()


@pytest.mark.parametrize(
    ("room", "text", "found"),
    [
        ("runtime", "from copgen.storage import files", True),
        ("storage", "def f():\n    import copgen.latents.navigator", True),
        ("latents", "from copgen import training", True),
        ("training", "from copgen.latents import navigator", False),
        ("latents", "from copgen.generators import gan", False),
    ],
)
def test_the_scan_tells_upward_imports_from_others(room: str, text: str, found: bool) -> None:
    assert bool(upward(ast.parse(text), room)) is found


@pytest.mark.parametrize("path", [path for path in FILES if "copgen_cli" in path.parts], ids=shown)
def test_the_command_line_imports_no_heavy_package_at_its_start(path: Path) -> None:
    modules = [module for node in at_import(parsed(path)) for module in imported(node)]
    assert [module for module in modules if any(within(module, package) for package in HEAVY)] == []


@pytest.mark.parametrize(
    ("text", "heavy"),
    [
        ("import torch", True),
        ("from torch import nn", True),
        ("try:\n    import torch\nexcept ImportError:\n    pass", True),
        ("try:\n    pass\nexcept ImportError:\n    import torch", True),
        ("class A:\n    import torch", True),
        ("if x:\n    pass\nelse:\n    import torch", True),
        ("def f():\n    import torch", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", False),
    ],
)
def test_imports_at_the_start_are_told_from_later_ones(text: str, heavy: bool) -> None:
    modules = [module for node in at_import(ast.parse(text)) for module in imported(node)]
    assert any(within(module, "torch") for module in modules) is heavy


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES
    assert ast.get_docstring(parsed(path))
