"""README and the pages in docs/: their code blocks, and everything that they name."""

import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_TOP = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
_MAKE = re.compile(r"\bmake((?: +[A-Z]+=\S+)*(?: +[a-z][a-z-]*)+)")
_COMMAND = re.compile(r"python3? -m ((?:triton_acts|perf)[\w.]*)((?: [^\n#;|&]*)?)")
_PYTEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?(?: -k (\w+))?")


def name_of(page):
    """README.md, docs/faq.md: how a test is called."""
    return str(page.relative_to(ROOT))


def text_of(page):
    """The page."""
    return page.read_text(encoding="utf-8")


def blocks(text, language):
    """Fenced blocks of one language, in order; what is fenced as no language is none."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def languages(text):
    """Of every fenced block."""
    return re.findall(r"^```([^\n]*)\n.*?^```$", text, re.DOTALL | re.MULTILINE)


def run_blocks(page, folder):
    """Runs a page's Python in one namespace, as a reader would, block by block from files.

    From files, since Triton reads the source of device functions.
    """
    module = ModuleType("__main__")
    for number, block in enumerate(blocks(text_of(page), "python"), 1):
        file = folder / f"{page.stem}_{number}.py"
        file.write_text(block, encoding="utf-8")
        exec(compile(block, str(file), "exec"), vars(module))


def shell(text):
    """What a reader can type: lines of bash blocks with continuations joined, and spans of code."""
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [*lines, *re.findall(r"`([^`\n]+)`", prose)]


def make_targets(text):
    """Targets of `make` in what can be typed."""
    found = (m[1] for line in shell(text) for m in _MAKE.finditer(line.partition("#")[0]))
    return {word for words in found for word in words.split() if "=" not in word}


def commands(text):
    """(module, words) of `python -m triton_acts...` and `python -m perf...`."""
    return {(m[1], tuple(m[2].split())) for line in shell(text) for m in _COMMAND.finditer(line)}


def links(text):
    """Targets of relative links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {target for target in found if "://" not in target}


def paths(text):
    """Files and folders of this repository that are named, without what git ignores: outputs."""
    ignored = [line.strip("/") for line in text_of(ROOT / ".gitignore").splitlines()]
    words = {word.strip(".,;:()\"'") for line in shell(text) for word in line.split()}
    words = {word.partition("::")[0] for word in words if not word.startswith("-")}
    named = {w for w in words if w.split("/")[0] in _TOP and "/" in w}
    named |= {w for w in words if re.fullmatch(r"[\w/*]*test_[\w*]+\.py", w)}
    return {w for w in named if not any(w.rstrip("/").startswith(path) for path in ignored)}


def named_tests(text):
    """(file, test, part of a name) of every test that is named."""
    return {m.groups() for line in shell(text) for m in _PYTEST.finditer(line)}


def exists(path):
    """Whether a path, perhaps with stars or without its first folders, is in the repository."""
    return bool([*ROOT.glob(path), *(ROOT / "tests").glob(f"**/{path}")])


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
