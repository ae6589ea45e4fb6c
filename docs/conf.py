"""How Sphinx builds this folder: `make docs`. Pages are Markdown (MyST); the reference is made by scripts/."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "scripts")]

import reference_pages  # noqa: E402

from ipdsf_spark import __version__  # noqa: E402

reference_pages.write(REPOSITORY / "docs" / "reference")

project = "IPDSF on Spark"
version = release = __version__
copyright = "the IPDSF authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["benchmarks"]

# Links are part of the build: a page, a heading or a file that is not there ends it (`-W` in the Makefile).
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = [
    "ref.python",  # an attribute that two classes have
    "myst.header",  # tables that a benchmark writes into a page begin with a heading of the third level
]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
default_role = "code"
add_module_names = False
toc_object_entries = False
maximum_signature_line_length = 100

html_theme = "furo"
html_title = "IPDSF on Spark"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

# Pages that stand below another one in the side bar, without a list that a reader of the Markdown would see.
BELOW = {"clusters": ("standalone", "yarn", "kubernetes", "databricks", "edge-nodes")}
DRAWN = re.compile("[─│┌┐└┘├┤►→]")
ARRAY = re.compile(r"~?numpy\.ndarray\[~?(?:typing\.)?Any, ~?numpy\.dtype\[~?(?:numpy\.)?([\w.]+)\]\]")
EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])[^*]+(?<=[^\s*])\*(?!\w)")
ALIASES = (types.GenericAlias, types.UnionType, type(NDArray[Any]))


def add_below(_, name, source):  # as Sphinx calls it
    """Put those pages into the side bar."""
    if name in BELOW:
        entries = "\n".join(f"{name}/{entry}" for entry in BELOW[name])
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def as_restructured(_, what, name, obj, options, lines):
    """Docstrings are plain text: drawings stay as they are drawn, stars and bars are no markup."""
    text = [marked(line) for line in lines]
    if what == "module" or any(DRAWN.search(line) for line in text):
        text = list(with_drawings(text))
    lines[:] = text


def short_arrays(_, what, name, obj, options, signature, returns):
    """Arrays as the sources call them, `NDArray[float32]`; a default that is made anew each time is `...`."""
    texts = (each and each.replace("<factory>", "...") for each in (signature, returns))
    return tuple(each and ARRAY.sub(r"NDArray[\1]", each) for each in texts)


def marked(line: str) -> str:
    """A line whose stars and bars mean themselves, outside code and emphasis."""
    bullet = re.match(r"\s*\* ", line)
    head, line = (bullet[0], line[bullet.end() :]) if bullet else ("", line)
    parts = re.split(r"(`+[^`]*`+)", line)
    return head + "".join(part if part.startswith("`") else escaped(part) for part in parts)


def escaped(text: str) -> str:
    """Stars that do not emphasise, and bars."""
    held = EMPHASIS.findall(text)
    pieces = EMPHASIS.split(text)
    plain = [re.sub(r"([*|])", r"\\\1", piece) for piece in pieces]
    return "".join(piece + (held[k] if k < len(held) else "") for k, piece in enumerate(plain))


def with_drawings(lines: list[str]) -> Iterator[str]:
    """Indented lines of a module's docstring as a block of their own."""
    is_drawn = False
    for line in lines:
        if not line.strip():
            yield line
            continue
        if line[0] == " " and not is_drawn:
            yield from ("", ".. code-block:: text", "")
        elif line[0] != " " and is_drawn:
            yield ""
        is_drawn = line[0] == " "
        yield line.replace("\\", "") if is_drawn else line


def is_skipped(_, what, name, obj, skip, options):
    """Names for types of arrays, and fields of named tuples, carry docstrings that are none of ours."""
    return True if isinstance(obj, ALIASES) or type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    """As Sphinx asks for it."""
    app.connect("source-read", add_below)
    app.connect("autodoc-process-docstring", as_restructured, priority=900)  # after napoleon
    app.connect("autodoc-process-signature", short_arrays)
    app.connect("autodoc-skip-member", is_skipped)
