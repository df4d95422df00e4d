"""Who may import whom, and that NumPy alone is enough for the core."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "cnnlib"

# What each part of cnnlib may import from the others: imports run one way.
ALLOWED = {
    "_array": set(),
    "_measured": set(),
    "_scale": set(),
    "init": set(),
    "metrics": set(),
    "calibration": set(),
    "examples": set(),
    "listing": set(),
    "_road_signs": set(),
    "datasets": {"_road_signs"},
    "figures": set(),
    "interactive": set(),
    "gradcheck": {"_array", "ops"},
    "ops": {"_array"},
    "_layer": {"_array", "ops"},
    "layers": {"_array", "ops", "_layer", "init"},
    "losses": {"_array", "ops"},
    "optim": {"_array", "ops", "layers"},
}
CORE = set(ALLOWED) - {"figures", "interactive"}
# Third-party libraries beyond NumPy that a part may name at all, at the top of a file or inside.
LIBRARIES = {
    "_array": {"array_api_compat"},
    "figures": {"matplotlib", "cycler", "matplotlib_inline"},
    "interactive": {"PIL"},
}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def part_of(path, root=ROOT):
    return path.relative_to(root).parts[0].removesuffix(".py")


def imported(source, package="cnnlib"):
    """Dotted names of all imports of a file; ``from cnnlib import ops`` is ``cnnlib.ops``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = importlib.util.resolve_name("." * node.level + module, package)
            if module == "cnnlib":
                yield from (f"cnnlib.{alias.name}" for alias in node.names)
            else:
                yield module


def offences(source, part, package="cnnlib"):
    """What a file of that part imports and may not."""
    if part in ("pytorch", "_cli", "__main__"):
        return []
    allowed = ALLOWED[part] | {part}
    libraries = {"numpy", "cnnlib", *sys.stdlib_module_names, *LIBRARIES.get(part, ())}
    found = []
    for name in imported(source, package):
        top, _, rest = name.partition(".")
        ours = top == "cnnlib"
        if top not in libraries or (ours and rest.partition(".")[0] not in allowed):
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    part = part_of(path)
    assert part in {*ALLOWED, "pytorch", "_cli", "__main__"}, f"{part} needs a row in ALLOWED"
    package = ".".join(path.relative_to(ROOT.parent).parent.parts)
    assert offences(path.read_text(encoding="utf-8"), part, package) == []


def test_the_package_itself_loads_only_the_core():
    names = set(imported((ROOT / "__init__.py").read_text(encoding="utf-8")))
    assert names
    parts = {name.partition(".")[2].partition(".")[0] for name in names if "cnnlib" in name}
    assert parts <= CORE
    assert all(name.startswith("cnnlib.") or name in sys.stdlib_module_names for name in names)


@pytest.mark.parametrize(
    ("source", "part", "found"),
    [
        ("import torch", "ops", ["torch"]),
        ("def f():\n    from torch import nn", "layers", ["torch"]),
        ("from sklearn import metrics", "ops", ["sklearn"]),
        ("from cnnlib import layers", "ops", ["cnnlib.layers"]),
        ("from cnnlib.layers import Parameter", "losses", ["cnnlib.layers"]),
        ("from .layers import Parameter", "ops", ["cnnlib.layers"]),
        ("import cnnlib.pytorch.bridge", "optim", ["cnnlib.pytorch.bridge"]),
        ("from cnnlib import ops", "figures", ["cnnlib.ops"]),
        ("from cnnlib import figures", "interactive", ["cnnlib.figures"]),
        ("import matplotlib.pyplot as plt", "metrics", ["matplotlib.pyplot"]),
        ("from cnnlib._array import pad\nimport numpy, math", "ops", []),
        ("import torch", "pytorch", []),
    ],
)
def test_the_rule_finds_offences(source, part, found):
    assert offences(source, part) == found


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
        env={**os.environ, **environment},
        check=False,
    )


def test_importing_cnnlib_loads_no_large_library():
    heavy = "{'torch', 'matplotlib', 'sklearn', 'array_api_compat', 'PIL', 'scipy'}"
    code = f"import sys, cnnlib; print(sorted({heavy} & set(sys.modules)))"
    result = python(code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
    # The same question has another answer once something does load one.
    assert "sklearn" in python(code.replace("cnnlib;", "cnnlib; cnnlib.datasets.digits(8);")).stdout


BLOCK = """
import sys

class OnlyNumPy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {"numpy", "cnnlib"} and top not in sys.stdlib_module_names:
            raise ImportError(f"blocked: {name}")

sys.meta_path.insert(0, OnlyNumPy())
"""

TRAIN = """
import numpy as np
import cnnlib as c

rng = np.random.default_rng(0)
net = c.Sequential(
    c.Conv2d(1, 2, 3, rng=rng), c.BatchNorm2d(2), c.ReLU(), c.MaxPool2d(2), c.Dropout(0.1, rng=0),
    c.Flatten(), c.Linear(18, 3, rng=rng),
)
x, y = rng.standard_normal((6, 1, 8, 8)).astype(np.float32), np.arange(6) % 3
criterion, optimizer = c.CrossEntropyLoss(), c.Adam(net.parameters(), 0.01)
first = criterion(net(x), y)
for _ in range(20):
    optimizer.zero_grad()
    loss = criterion(net(x), y)
    net.backward(criterion.backward())
    optimizer.step()
assert loss < first / 2, (first, loss)
c.gradcheck.gradcheck(c.ops.relu_forward, c.ops.relu_backward, (rng.standard_normal(4),))
c.metrics.accuracy(net(x), y)
c.Sequential(*net).load_state_dict(net.state_dict())
print(c.show_source(c.ops.relu_forward), c.examples.conv3x3.expected, c.scale())
try:
    c.datasets.digits()
except ImportError as error:
    print(error)
"""


def test_numpy_alone_suffices():
    result = python(BLOCK + TRAIN)
    assert result.returncode == 0, result.stderr
    assert "digits needs scikit-learn, which is not installed" in result.stdout
    blocked = python(BLOCK + "import sklearn")
    assert "blocked: sklearn" in blocked.stderr
