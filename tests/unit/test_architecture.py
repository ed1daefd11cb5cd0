"""The house keeps its shape: who may import whom, how long things are, what no file may hold.

Each rule is a function from the modules of a package to a list of violations. The first half of the tests
applies them to `dapo`, the second to small packages that break one rule each.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dapo"

FLOORS: list[set[str]] = [
    {"types", "errors", "core"},
    {
        "algorithms",
        "rewards",
        "tasks",
        "text",
        "data",
        "run",
        "verify",
        "budget",
        "generation",
        "planning",
    },
    {"engine", "learning", "model", "scratch", "grading", "sampling"},
    {"backends", "cluster", "step_metrics"},
    {"trainer", "evaluation", "sft"},
    {"recipe"},  # Where names become objects.
    {"jobs"},  # What a command does: a run, an evaluation, a warm-up.
    {"api", "cli", "__init__", "__main__"},
]
"""Files and folders of the package, lowest first. Imports point to lower floors, or stay inside a folder."""

SAME_FLOOR = {
    ("core", "types"): "a verdict is a word of the project",
    ("rewards", "verify"): "a reward judges by comparisons that others share",
    ("tasks", "rewards"): "a task names the reward that grades it",
    ("tasks", "verify"): "a task checks its rows by what its reward reads them with",
    ("tasks", "data"): "a task reads its rows from files and hubs",
    ("data", "rewards"): "rows from a file or hub are graded by the reward their source column names",
    ("data", "verify"): "what a row says of itself is read in one place",
    ("data", "text"): "a stream hands out prompts as token ids; only text sees strings and ids together",
    ("learning", "engine"): "the learner reads a model exactly as the sampler over the same weights does",
    ("backends", "cluster"): "the driver of a cluster starts its workers",
}
"""Imports between two parts of one floor that are meant, and why."""

TOP_FLOOR = len(FLOORS) - 1
"""Here the parts of the floor may import each other, though never in a circle."""

ENGINES = ("ray", "vllm", "torch.distributed")
ENGINE_ROOMS = ("dapo.cluster", "dapo.backends.ray")
PURE = ("torch", "numpy")
PYDANTIC_UNITS = {"recipe", "cli"}

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
LONG: dict[str, str] = {}
"""Files (`core/losses.py`) and functions (`core/losses.py:clip`) that are longer, and why."""

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
EXECUTING = ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib")


@dataclass(frozen=True)
class Module:
    """A file of the package."""

    name: str
    path: str
    source: str
    tree: ast.Module

    @property
    def unit(self) -> str:
        """The file or folder directly under the package that the module belongs to."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


Modules = Mapping[str, Module]


def read_package(root: Path) -> dict[str, Module]:
    modules = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root)
        parts = path.parent.parts if path.stem == "__init__" else (*path.parent.parts, path.stem)
        source = file.read_text(encoding="utf-8")
        name = ".".join(("dapo", *parts))
        modules[name] = Module(name, path.as_posix(), source, ast.parse(source, str(path)))
    return modules


def imports(module: Module, modules: Modules) -> Iterator[str]:
    """Full names of what a module imports, anywhere in it: `from torch import nn` gives `torch.nn`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield base if base.split(".")[0] == "dapo" and full not in modules else full


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def own_imports(module: Module, modules: Modules) -> Iterator[str]:
    return (name for name in imports(module, modules) if within(name, "dapo"))


def floor_of(unit: str) -> int | None:
    return next((number for number, units in enumerate(FLOORS) if unit in units), None)


def floors(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        here = floor_of(module.unit)
        if here is None:
            found.append(f"{module.path}: {module.unit!r} has no floor; give it one in FLOORS")
            continue
        for name in own_imports(module, modules):
            unit = Module(name, "", "", module.tree).unit
            there = floor_of(unit)
            if unit == module.unit or there is None or there < here:
                continue
            side_by_side = there == here and (here == TOP_FLOOR or (module.unit, unit) in SAME_FLOOR)
            if not side_by_side:
                found.append(f"{module.path} (floor {here}) imports {name} (floor {there})")
    return found


def circles(modules: Modules) -> list[str]:
    """Modules that import each other in a circle, also where an import waits inside a function."""
    graph = {name: set(own_imports(module, modules)) & modules.keys() for name, module in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            yield " -> ".join((*trail[trail.index(name) :], name))
        elif name not in done:
            for other in sorted(graph[name]):
                yield from visit(other, (*trail, name))
            done.add(name)

    return [circle for name in sorted(graph) for circle in visit(name, ())]


def pure_floor(modules: Modules) -> list[str]:
    allowed = {*PURE, *sys.stdlib_module_names, "dapo"}
    return [
        f"{module.path} imports {name}: types and core need nothing but {', '.join(PURE)}"
        for module in modules.values()
        if floor_of(module.unit) == 0
        for name in imports(module, modules)
        if name.split(".")[0] not in allowed
    ]


def engines(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        if within(module.name, *ENGINE_ROOMS):
            continue
        used = [name for name in imports(module, modules) if within(name, *ENGINES)]
        used += [
            "torch.distributed"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.distributed"
        ]
        found += [f"{module.path} uses {name}: only cluster/ and backends/ray.py do" for name in used]
    return found


def backends_apart(modules: Modules) -> list[str]:
    """The loop knows the contract of a backend, and no backend knows another."""
    bound = {*FLOORS[4], "backends"}
    return [
        f"{module.path} imports {name}: only dapo.backends.base is allowed here"
        for module in modules.values()
        if module.unit in bound
        for name in own_imports(module, modules)
        if within(name, "dapo.backends") and name not in ("dapo.backends.base", module.name)
    ]


def pydantic_at_the_door(modules: Modules) -> list[str]:
    return [
        f"{module.path} imports {name}: settings are checked where they are read, in {sorted(PYDANTIC_UNITS)}"
        for module in modules.values()
        if module.unit not in PYDANTIC_UNITS
        for name in imports(module, modules)
        if within(name, "pydantic")
    ]


def bare_inits(modules: Modules) -> list[str]:
    """An __init__.py is empty, or hands on names of its own package."""

    def hands_on(node: ast.stmt) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.module == "__future__" or within(node.module or "", "dapo")
        if isinstance(node, ast.Assign):
            return [ast.unparse(target) for target in node.targets] == ["__all__"]
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    return [
        f"{module.path}:{node.lineno} does more than hand on names"
        for module in modules.values()
        if module.path.endswith("__init__.py")
        for node in module.tree.body
        if not hands_on(node)
    ]


def lengths(modules: Modules) -> dict[str, int]:
    """Lines of everything that is longer than the house likes. Docstrings of functions do not count."""
    found = {}
    for module in modules.values():
        lines = module.source.count("\n")
        if lines > MAX_FILE_LINES:
            found[module.path] = lines
        for node in ast.walk(module.tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            own = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                own -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            if own > MAX_FUNCTION_LINES:
                found[f"{module.path}:{node.name}"] = own
    return found


def too_long(modules: Modules) -> list[str]:
    found = lengths(modules)
    new = [f"{place} has {lines} lines" for place, lines in found.items() if place not in LONG]
    return new + [f"{place} is short enough: take it out of LONG" for place in LONG if place not in found]


def unfinished(modules: Modules) -> list[str]:
    return [
        f"{module.path}:{number} is unfinished: {line.strip()}"
        for module in modules.values()
        for number, line in enumerate(module.source.splitlines(), start=1)
        if UNFINISHED.search(line)
    ]


def executes(modules: Modules) -> list[str]:
    """Nothing read from a file or written by a model is ever executed: no pickles, no eval, no exec."""
    found = []
    for module in modules.values():
        found += [
            f"{module.path} imports {name}" for name in imports(module, modules) if within(name, *EXECUTING)
        ]
        for node in ast.walk(module.tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("eval", "exec", "torch.load", "torch.save"):
                found.append(f"{module.path}:{node.lineno} calls {called}")  # type: ignore[attr-defined]
    return found


RULES: list[Callable[[Modules], list[str]]] = [
    floors,
    circles,
    pure_floor,
    engines,
    backends_apart,
    pydantic_at_the_door,
    bare_inits,
    too_long,
    unfinished,
    executes,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Callable[[Modules], list[str]]) -> None:
    violations = rule(read_package(PACKAGE))
    assert not violations, "\n".join(violations)


LONG_BODY = "    x = 1\n" * 51

BROKEN = [
    (floors, "trainer.py", "import dapo.cli.main", "trainer.py (floor 4) imports dapo.cli"),
    (floors, "core/kl.py", "from dapo.run import files", "core/kl.py (floor 0) imports dapo.run"),
    (floors, "core/kl.py", "def f():\n    from dapo import text", "imports dapo.text"),
    (floors, "engine/sampler.py", "from dapo.grading import grade", "imports dapo.grading (floor 2)"),
    (floors, "data/stream.py", "import dapo.tasks.gsm8k", "imports dapo.tasks"),
    (floors, "helpers.py", "", "'helpers' has no floor"),
    (circles, "text.py", "def f():\n    import dapo.grading", "dapo.text -> dapo.grading -> dapo.text"),
    (pure_floor, "core/kl.py", "from transformers import AutoModel", "core/kl.py imports transformers"),
    (pure_floor, "types.py", "import PIL.Image", "types.py imports PIL.Image"),
    (engines, "trainer.py", "import ray", "trainer.py uses ray"),
    (engines, "learner.py", "from torch import distributed", "uses torch.distributed"),
    (engines, "learner.py", "import torch\ntorch.distributed.barrier()", "uses torch.distributed"),
    (engines, "backends/local.py", "from vllm.sampling_params import X", "uses vllm.sampling_params.X"),
    (backends_apart, "trainer.py", "from dapo.backends.local import Local", "imports dapo.backends.local"),
    (backends_apart, "backends/ray.py", "from dapo.backends import local", "imports dapo.backends.local"),
    (pydantic_at_the_door, "learner.py", "from pydantic import BaseModel", "imports pydantic.BaseModel"),
    (bare_inits, "core/__init__.py", "def f(): ...", "core/__init__.py:1 does more"),
    (bare_inits, "core/__init__.py", "import torch", "core/__init__.py:1 does more"),
    (too_long, "text.py", "x = 1\n" * 301, "text.py has 301 lines"),
    (too_long, "text.py", f"def f():\n{LONG_BODY[:-1]}", "text.py:f has 52 lines"),
    (unfinished, "text.py", "x = 1  # TODO: mend", "text.py:1 is unfinished"),
    (unfinished, "text.py", "raise NotImplementedError", "text.py:1 is unfinished"),
    (executes, "text.py", "from pickle import loads", "text.py imports pickle.loads"),
    (executes, "rewards/exact.py", "x = eval(answer)", "rewards/exact.py:1 calls eval"),
    (executes, "model.py", "import torch\ntorch.load('x')", "model.py:2 calls torch.load"),
]

SOUND = {
    "__init__.py": '"""The face."""\nfrom dapo.trainer import train\n__all__ = ["train"]\n',
    "types.py": "import torch\nfrom collections.abc import Mapping\n",
    "core/__init__.py": "",
    "core/kl.py": "import numpy as np\nfrom dapo.core import segments\n",
    "core/segments.py": "import math\n",
    "text.py": "import transformers\n",
    "data/stream.py": "from dapo import text\n",
    "grading.py": "from dapo.text import decode\n",
    "engine/sampler.py": "from dapo.engine.draw import draw\n",
    "engine/draw.py": "from dapo.core import kl\n",
    "cluster/workers.py": "import ray\nimport torch.distributed\n",
    "backends/base.py": "",
    "backends/local.py": "from dapo.backends.base import Backend\n",
    "backends/ray.py": "import ray\nfrom dapo.cluster import workers\n",
    "trainer.py": "from dapo.backends.base import Backend\nmodel.eval()\n",
    "recipe/config.py": "import pydantic\nimport dapo.trainer\n",
    "cli/main.py": f'from dapo.recipe.config import Recipe\ndef f():\n    """\n\n"""\n{LONG_BODY[10 * 2 :]}',
}


def write_package(root: Path, files: Mapping[str, str]) -> Modules:
    for path, source in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source, encoding="utf-8")
    return read_package(root)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_package_passes(tmp_path: Path, rule: Callable[[Modules], list[str]]) -> None:
    assert rule(write_package(tmp_path, SOUND)) == []


@pytest.mark.parametrize(("rule", "path", "source", "message"), BROKEN)
def test_a_rule_finds_what_breaks_it(
    tmp_path: Path, rule: Callable[[Modules], list[str]], path: str, source: str, message: str
) -> None:
    violations = rule(write_package(tmp_path, {**SOUND, path: source}))
    assert len(violations) == 1
    assert message in violations[0]
