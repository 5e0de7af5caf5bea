"""How the code reads, in figures: `python tools/style.py [FILES OR FOLDERS]` (default: hrda_nb).

Reads Python files and the code cells of notebooks. A code line is neither blank nor a comment
alone. A function's length is counted from `def` to its last line, without its docstring. A
function over 40 lines needs a reason: a comment `# long: WHY` in the line above its `def`."""

import ast
import io
import itertools
import json
import re
import statistics
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = 100  # characters
FUNCTION, LONG_FUNCTION = 25, 40  # lines


@dataclass
class Function:
    "Name and length of a function, and why it may be long"

    name: str  # module.function
    lines: int  # without the docstring
    reason: str  # empty: none is given


@dataclass
class Figures:
    "What is measured"

    files: int
    code: list[int]  # characters of each code line
    long_lines: list[str]  # file and number of each line over 100 characters
    joined: int  # semicolons that join statements
    functions: list[Function]
    public_names: int

    @property
    def over(self) -> list[Function]:
        "Functions over 25 lines, the longest first"
        return sorted((f for f in self.functions if f.lines > FUNCTION), key=lambda f: -f.lines)

    @property
    def unexplained(self) -> list[Function]:
        "Functions over 40 lines without a reason"
        return [f for f in self.over if f.lines > LONG_FUNCTION and not f.reason]

    @property
    def percent_over(self) -> float:
        "Of all functions, how many are over 25 lines"
        return 100 * len(self.over) / max(1, len(self.functions))


def files(places: list[str]) -> list[Path]:
    "The Python files and notebooks in and under some places; what is generated is left out"
    found = []
    for place in map(Path, places):
        inside = [*place.rglob("*.py"), *place.rglob("*.ipynb")] if place.is_dir() else [place]
        found += sorted(inside)
    return [f for f in found if f.name != "_modidx.py" and ".ipynb_checkpoints" not in f.parts]


def read(path: Path) -> str:
    "The Python of a file, or of all cells of a notebook, without magics"
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    source = "\n".join("".join(c["source"]) for c in cells)
    return re.sub(r"^[%!](?=\w)", "# ", source, flags=re.MULTILINE)


def code_lines(source: str) -> list[str]:
    "Lines that are neither blank nor a comment alone"
    lines = map(str.rstrip, source.splitlines())
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def long_lines(path: Path, source: str) -> list[str]:
    "Where lines are too long; the `__all__` that nbdev writes does not count"
    source = re.sub(r"^__all__ = \[.*?\]", _blank, source, flags=re.MULTILINE | re.DOTALL)
    lines = enumerate(source.splitlines(), 1)
    return [f"{path.name}:{number}" for number, line in lines if len(line) > LINE]


def _blank(match: re.Match) -> str:
    "As many empty lines"
    return "\n" * match[0].count("\n")


def joined_statements(source: str) -> int:
    "How many semicolons join statements; one at the end of a cell only hides its value"
    tokens = [*tokenize.generate_tokens(io.StringIO(source).readline)]
    ends = (tokenize.NEWLINE, tokenize.COMMENT)
    return sum(
        token.string == ";" and token.type == tokenize.OP and after.type not in ends
        for token, after in itertools.pairwise(tokens)
    )


def functions(path: Path, source: str) -> list[Function]:
    "Every function of a module, nested ones too"
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


def public_names(source: str) -> list[str]:
    "What a module's `__all__` holds; a list that is computed repeats other modules' names"
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return []
    return []


def measure(places: list[str]) -> Figures:
    "The figures of some files and folders"
    found = files(places)
    sources = {path: read(path) for path in found}
    return Figures(
        files=len(found),
        code=[len(line) for s in sources.values() for line in code_lines(s)],
        long_lines=[line for path, s in sources.items() for line in long_lines(path, s)],
        joined=sum(map(joined_statements, sources.values())),
        functions=[f for path, s in sources.items() for f in functions(path, s)],
        public_names=sum(len(public_names(s)) for s in sources.values()),
    )


def report(places: list[str]) -> str:
    "The figures, a line each, and the functions that are too long"
    found = measure(places)
    median = statistics.median(found.code)
    mean = statistics.mean(found.code)
    lines = [
        f"{found.files} files, {len(found.code)} code lines",
        f"code line: median {median:.0f} characters, mean {mean:.0f}",
        f"lines over {LINE} characters: {len(found.long_lines)}",
        f"semicolons that join statements: {found.joined}",
        f"functions: {len(found.functions)}, over {FUNCTION} lines: {len(found.over)} "
        f"({found.percent_over:.1f} %), "
        f"over {LONG_FUNCTION} without a reason: {len(found.unexplained)}",
        f"public names: {found.public_names}",
    ]
    return "\n".join([*lines, *(f"  {f.lines:3d}  {f.name}  {f.reason}" for f in found.over)])


if __name__ == "__main__":
    print(report(sys.argv[1:] or [str(ROOT / "hrda_nb")]))
