"""How Sphinx builds this folder: `make docs`. Pages are Markdown (MyST); the reference is made by scripts/."""

from __future__ import annotations

import sys
from pathlib import Path

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
nitpicky = False

# Links are part of the build: a page, a heading or a file that is not there ends it (`-W` in the Makefile).
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": False}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
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
BELOW = {"clusters": "clusters/*"}


def setup(app):  # type: ignore[no-untyped-def]  # by Sphinx
    """Put those pages into the side bar."""

    def add(_, name, source):  # type: ignore[no-untyped-def]
        if name in BELOW:
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{BELOW[name]}\n```\n"

    app.connect("source-read", add)
