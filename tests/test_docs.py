"The documentation builds, Sphinx has nothing to complain of, and every link leads somewhere."

import ast
import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import notebooks
import pytest
from notebooks import ROOT

DOCS = ROOT / "_docs"
TEXTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(
        p.relative_to(ROOT).as_posix()
        for folder in ("benchmarks", "data_samples")
        for p in (ROOT / folder).rglob("*.md")
    ),
    *notebooks.paths(),
]


@pytest.fixture(scope="module")
def pages():
    "The built pages: path -> Page"
    done = subprocess.run(
        [sys.executable, "tools/docs.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return {p: Page(p.read_text(encoding="utf-8")) for p in DOCS.rglob("*.html")}


class Page(HTMLParser):
    "Links, anchors and table cells of an HTML page"

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors, self.html = [], set(), text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[k] for k in ("id", "name") if attrs.get(k)}
        self.links += [attrs[k] for k in ("href", "src") if attrs.get(k)]


ADDRESS = re.compile(r"(localhost|127\.0\.0\.1|[\w-]+(\.[\w-]+)+)(:\d+)?")


def complaint(link, here, anchors):
    """What is wrong with a link that stands in file `here`; empty: nothing.

    `anchors` of a file are its anchors in lower case; None: any."""
    url = urlsplit(link)
    if url.scheme in ("http", "https"):
        is_address = ADDRESS.fullmatch(url.netloc) and " " not in link
        return "" if is_address else "no address"
    if url.scheme:
        return "" if url.scheme in ("data", "mailto") else f"scheme {url.scheme}"
    file = here.parent / unquote(url.path) if url.path else here
    if not file.exists():
        return "no such file"
    known = anchors(file) if url.fragment else None
    return "" if known is None or unquote(url.fragment).lower() in known else "no such anchor"


def text_of(path):
    "The Markdown of a page or a notebook, without blocks of code"
    if path.suffix == ".ipynb":
        text = "\n\n".join(
            "".join(c["source"])
            for c in notebooks.load(path.relative_to(ROOT))["cells"]
            if c["cell_type"] == "markdown"
        )
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def headings(path):
    "Anchors of a notebook or a page, as GitHub and JupyterLab make them; None for other files"
    if path.suffix not in (".md", ".ipynb"):
        return None
    titles = [
        t.replace("`", "").lower()
        for t in re.findall(r"^#+ +(.+?) *#*$", text_of(path), re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", t).replace(" ", "-") for t in titles} | {
        t.replace(" ", "-") for t in titles
    }


@pytest.mark.parametrize("path", TEXTS)
def test_links_of_texts(path):
    text = re.sub(r"`[^`\n]*`", "", text_of(ROOT / path))
    links = (
        re.findall(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)(?: \"[^\"]*\")?\)", text)
        + re.findall(r"(?:href|src)=[\"']([^\"']+)", text)
        + re.findall(r"<(https?:[^>]*)>", text)
    )
    assert {
        link: wrong for link in links if (wrong := complaint(link, ROOT / path, headings))
    } == {}


def test_pages_build_without_warnings(pages):
    names = {p.relative_to(DOCS).with_suffix("").as_posix() for p in pages}
    assert {p.removeprefix("nbs/").removesuffix(".ipynb") for p in notebooks.paths()} <= names


def test_links_of_pages(pages):
    def anchors(file):
        return {a.lower() for a in pages[file].anchors} if file in pages else None

    wrong = {
        (p.name, link): w
        for p, page in pages.items()
        for link in page.links
        if (w := complaint(link, p.resolve(), lambda f: anchors(Path(f).resolve())))
    }
    assert wrong == {}


def test_every_exported_function_has_its_entry(pages):
    "with its parameters' comments, which tell shapes"
    missing = {}
    for module, notebook in notebooks.modules().items():
        text = html.unescape(
            re.sub(
                r"<[^>]+>",
                "",
                pages[DOCS / notebook.removeprefix("nbs/").replace(".ipynb", ".html")].html,
            )
        )
        names = [
            name
            for name, _ in notebooks.public(ast.parse(module.read_text(encoding="utf-8")))
            if "." not in name
        ]
        missing |= {
            f"{notebook} {name}": "no entry" for name in names if f"def {name}(" not in text
        }
        if notebook.endswith("10_hrda.ipynb") and "context:torch.Tensor, # (B,K,h,w)" not in text:
            missing[notebook] = "no shapes"
    assert missing == {}


def test_bad_links_are_seen(tmp_path):
    (tmp_path / "a.md").write_text("# One `two`, three", encoding="utf-8")
    here = tmp_path / "b.md"
    found = [
        complaint(link, here, headings)
        for link in (
            "a.md",
            "a.md#one-two-three",
            "a.md#four",
            "c.md",
            "https://arxiv.org/abs/1",
            "https:///x",
            "ftp://x.org",
        )
    ]
    assert found == ["", "", "no such anchor", "no such file", "", "no address", "scheme ftp"]
