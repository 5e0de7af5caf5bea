"""How the code reads, in figures: `python tools/style.py [FILES OR FOLDERS]` (default: hrda_nb).

A code line is a line that is neither blank nor a comment alone. A function's length is counted from
`def` to its last line, without its docstring. A function over 40 lines needs a reason: a comment
`# long: WHY` in the line above its `def`."""

import ast
import io
import statistics
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE, FUNCTION, LONG_FUNCTION = 100, 25, 40  # characters, lines, lines


@dataclass
class Function:
    "Name and length of a function, and why it may be long"

    name: str  # module.function
    lines: int  # without the docstring
    reason: str  # empty: none is given


def files(places: list[str]) -> list[Path]:
    "The Python files in and under some places; what is generated is left out"
    found = [Path(p) for p in places]
    found = [f for p in found for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p])]
    return [f for f in found if f.name != "_modidx.py"]


def code_lines(source: str) -> list[str]:
    "Lines that are neither blank nor a comment alone"
    lines = map(str.rstrip, source.splitlines())
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def joined_statements(source: str) -> int:
    "How many semicolons join statements"
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(t.type == tokenize.OP and t.string == ";" for t in tokens)


def functions(path: Path) -> list[Function]:
    "Every function of a module, nested ones too"
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    return [
        Function(f"{path.stem}.{node.name}", length(node), reason(node, lines))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.FunctionDef) -> int:
    "Lines from `def` to the end, without the docstring"
    first = node.body[0]
    is_docstring = ast.get_docstring(node) is not None
    docstring = first.end_lineno - first.lineno + 1 if is_docstring else 0
    return node.end_lineno - node.lineno + 1 - docstring


def reason(node: ast.FunctionDef, lines: list[str]) -> str:
    "What stands behind `# long:` above a function"
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    above = lines[first - 2].strip() if first > 1 else ""
    return above.removeprefix("# long:").strip() if above.startswith("# long:") else ""


def public_names(path: Path) -> list[str]:
    "What a module's `__all__` holds"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def report(places: list[str]) -> str:
    "The figures, a line each, and the functions that are too long"
    found = files(places)
    sources = [f.read_text(encoding="utf-8") for f in found]
    widths = [len(line) for s in sources for line in s.splitlines()]
    code = [len(line) for s in sources for line in code_lines(s)]
    all_functions = [f for path in found for f in functions(path)]
    long = [f for f in all_functions if f.lines > FUNCTION]
    unexplained = [f for f in all_functions if f.lines > LONG_FUNCTION and not f.reason]
    lines = [
        f"{len(found)} files, {len(code)} code lines",
        f"code line: median {statistics.median(code):.0f} characters, "
        f"mean {statistics.mean(code):.0f}",
        f"lines over {LINE} characters: {sum(w > LINE for w in widths)}",
        f"semicolons that join statements: {sum(map(joined_statements, sources))}",
        f"functions: {len(all_functions)}, over {FUNCTION} lines: {len(long)} "
        f"({100 * len(long) / max(1, len(all_functions)):.1f} %), "
        f"over {LONG_FUNCTION} without a reason: {len(unexplained)}",
        f"public names: {sum(len(public_names(f)) for f in found)}",
    ]
    longest = sorted(long, key=lambda f: -f.lines)
    return "\n".join([*lines, *(f"  {f.lines:3d}  {f.name}  {f.reason}" for f in longest)])


if __name__ == "__main__":
    print(report(sys.argv[1:] or [str(ROOT / "hrda_nb")]))
