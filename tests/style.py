"""What `make lint` holds beyond ruff: counts of what a reader has to unpack, which may only fall.

Run as `python tests/style.py`. Lower a limit here whenever the count has fallen.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("actors", "cluster", "electorate", "serve", "simulations")
NESTED = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith)
LIMITS = {
    "lines over 100 columns": 22,
    "assignments of several values at once, `a, b = x, y`": 0,
    "functions over 40 lines": 0,
    "functions nested deeper than 3": 6,
    "docstrings that send the reader elsewhere, `See X.`": 0,
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of its body, without the docstring and the functions in it, which count themselves."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    if not body:
        return 0
    lines = 1 + (body[-1].end_lineno or 0) - body[0].lineno
    inner = [one for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return lines - sum(1 + (one.end_lineno or 0) - _first_line(one) for one in inner)


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(one.lineno for one in function.decorator_list)])


def depth(node: ast.AST) -> int:
    """How deep its statements are nested; an `elif` is not deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        below = depth(child)
        deepest = max(deepest, below + (isinstance(child, NESTED) and not is_elif))
    return deepest


def packed(tree: ast.AST) -> Iterator[ast.Assign]:
    """Assignments of several values at once."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            target = node.targets[0]
            if isinstance(target, ast.Tuple) and len(target.elts) == len(node.value.elts):
                yield node


def found() -> dict[str, list[str]]:
    """Where each kind is."""
    places: dict[str, list[str]] = {kind: [] for kind in LIMITS}
    long_line, several, long_function, deep, elsewhere = places.values()
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        text = Path(name).read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = enumerate(text.splitlines(), start=1)
        long_line += [f"{name}:{i}" for i, line in lines if len(line) > 100]
        several += [f"{name}:{node.lineno}" for node in packed(tree)]
        if name.startswith(PACKAGES):
            for function in functions(tree):
                place = f"{name}:{function.lineno} {function.name}"
                if body_lines(function) > 40:
                    long_function.append(f"{place} ({body_lines(function)})")
                if depth(function) > 3:
                    deep.append(f"{place} ({depth(function)})")
                if (ast.get_docstring(function) or "").startswith("See "):
                    elsewhere.append(place)
    return places


def main() -> int:
    """Print each count beside its limit; 1 if one is passed."""
    passed = False
    for kind, places in found().items():
        print(f"{kind}: {len(places)} (at most {LIMITS[kind]})")
        if len(places) > LIMITS[kind]:
            passed = True
            print("  " + "\n  ".join(places))
    return int(passed)


if __name__ == "__main__":
    sys.exit(main())
