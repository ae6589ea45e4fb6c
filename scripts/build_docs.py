"""The site of docs/ as HTML, and whether it is whole: `make docs`.

python scripts/build_docs.py --output out/docs

Sphinx ends at the first page, heading or file that a link names and that is not there. Afterwards the HTML itself is
read: every link and picture inside the site must lead somewhere, anchors included, and nothing that a browser loads by
itself may come from elsewhere, so that the site works without a network. Links to other sites are not followed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LOADED: Final = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
LOADED_RELATIONS: Final = frozenset({"stylesheet", "icon", "preload", "modulepreload", "manifest", "preconnect"})


@dataclass
class Page(HTMLParser):
    """What a page names: places within it, what a browser loads for it, and where its links lead."""

    places: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The parser of the standard library."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        held = {name: value or "" for name, value in attrs}
        self.places |= {held[name] for name in ("id", "name") if held.get(name)}
        if tag in LOADED and held.get(LOADED[tag]):
            self.loaded.append(held[LOADED[tag]])
        if tag == "link" and set(held.get("rel", "").split()) & LOADED_RELATIONS:
            self.loaded.append(held.get("href", ""))
        if tag == "a" and held.get("href"):
            self.links.append(held["href"])


def main() -> int:
    """Build, then look; 1 where something leads nowhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "out" / "docs", help="folder of the site")
    output = parser.parse_args().output
    warnings = ("--fail-on-warning", "--keep-going", "--quiet", "--jobs", "auto")
    folders = (REPOSITORY / "docs", output, "--doctree-dir", output.with_name(f"{output.name}-doctrees"))
    built = subprocess.run([sys.executable, "-m", "sphinx", "--builder", "html", *warnings, *folders], check=False)
    if built.returncode:
        return built.returncode
    faults = list(faults_of(output))
    print("\n".join(faults), end="\n" if faults else "")
    print(f"{output / 'index.html'}: {sum(1 for _ in output.rglob('*.html'))} pages, {len(faults)} faults")
    return 1 if faults else 0


def faults_of(site: Path) -> Iterator[str]:
    """What leads nowhere in a site, or comes from elsewhere, a line each."""
    pages = {path.resolve(): read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        yield from (f"{where} loads {url} from elsewhere" for url in page.loaded if is_elsewhere(url))
        for url in dict.fromkeys([*page.loaded, *page.links]):
            parts = urlsplit(url)
            if is_elsewhere(url) or parts.scheme in {"data", "mailto"}:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{where}: {url} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{where}: {url} names a place that is not there"
    for path in sorted(site.rglob("*.css")):
        if "url(http" in path.read_text(encoding="utf-8").replace('"', "").replace("'", ""):
            yield f"{path.relative_to(site)} loads something from elsewhere"


def is_elsewhere(url: str) -> bool:
    """Whether an address is on another host."""
    return bool(urlsplit(url).netloc)


def read(path: Path) -> Page:
    """A page of the site."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


if __name__ == "__main__":
    sys.exit(main())
