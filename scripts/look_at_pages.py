"""Look at the status page with a real browser, as wide as a phone and as a desk: pictures, and what is laid out wrong.

    python scripts/look_at_pages.py http://127.0.0.1:9108 --output out/pages    of a running job
    python scripts/look_at_pages.py /srv/www/ipdsf --output out/pages           the files that it writes

Needs a Chromium on PATH and nothing else. Exit code 1 if something is wrong, 2 if there is no browser.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin

WIDTHS: Final = (390, 1280)
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
NUM_SITES: Final = 3  # whose pages are looked at
TIMEOUT_S: Final = 120

# A page beside the pages, which measures them in frames of a given width and writes down what it found.
MEASURE: Final = """<!doctype html><meta charset="utf-8"><body><pre id="found"></pre><script>
const jobs = JOBS, found = [];
const inside = (a, b) =>
  a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
const meet = (a, b) => a.left < b.right - .5 && b.left < a.right - .5 && a.top < b.bottom - .5 && b.top < a.bottom - .5;
const seen = node => node.getClientRects().length > 0;
function faults(frame) {
  const page = frame.contentDocument, said = [];
  const root = page.documentElement;
  if (root.scrollWidth > root.clientWidth) said.push(`wider than the screen: ${root.scrollWidth} px`);
  for (const svg of page.querySelectorAll("svg")) for (const text of svg.querySelectorAll("text"))
    if (seen(text) && text.textContent.trim() && !inside(text.getBoundingClientRect(), svg.getBoundingClientRect()))
      said.push(`cut: "${text.textContent}"`);
  const labels = [...page.querySelectorAll(".metres span, .hours span")].filter(seen);
  for (const [k, one] of labels.entries()) {
    const place = one.getBoundingClientRect(), panel = one.closest(".panel").getBoundingClientRect();
    if (!inside(place, panel)) said.push(`outside its panel: "${one.textContent}"`);
    for (const other of labels.slice(k + 1)) if (meet(place, other.getBoundingClientRect()))
      said.push(`"${one.textContent}" covers "${other.textContent}"`);
  }
  for (const image of page.querySelectorAll("image"))
    if (!image.getBoundingClientRect().width) said.push("an empty picture");
  for (const each of page.querySelectorAll("a, button, input:not([type=hidden]), select, [tabindex]")) {
    each.focus();
    if (page.activeElement !== each) said.push(`cannot be reached by the keyboard: ${each.outerHTML.slice(0, 80)}`);
  }
  for (const each of frame.contentWindow.performance.getEntriesByType("resource"))
    if (new URL(each.name).origin !== location.origin) said.push(`from elsewhere: ${each.name}`);
  return {height: root.scrollHeight, faults: said};
}
async function all() {
  for (const [path, width] of jobs) {
    const frame = document.createElement("iframe");
    frame.style = `width:${width}px;height:900px;border:0`;
    frame.src = path;
    document.body.append(frame);
    await new Promise(done => frame.onload = done);
    found.push({path, width, ...faults(frame)});
    frame.remove();
  }
  document.getElementById("found").textContent = JSON.stringify(found);
}
all();
</script>"""


def browser() -> str | None:
    """A Chromium on PATH."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def look(
    program: str, folder: Path, output: Path, *, num_sites: int = NUM_SITES, has_pictures: bool = True
) -> list[dict[str, Any]]:
    """Measure and photograph the page of all sites and some sites' pages.

    Args:
        program: the browser.
        folder: of the pages as files.
        output: where the pictures go, NAME-WIDTH.png.
        num_sites: whose pages are looked at.
        has_pictures: whether it is photographed as well.

    Returns:
        path, width, height [px] and faults of every page and width.
    """
    output.mkdir(parents=True, exist_ok=True)
    sites = sorted((folder / "site").glob("*.html"))[:num_sites]
    paths = ["index.html", *(f"site/{quote(path.name)}" for path in sites)]
    jobs = [(path, width) for path in paths for width in WIDTHS]
    with tempfile.TemporaryDirectory() as held, served(folder, jobs) as address:
        told = _run(program, Path(held), f"{address}/measure", "--dump-dom", "--virtual-time-budget=20000")
        found = re.search(r'<pre id="found">(\[.*?\])</pre>', told, flags=re.DOTALL)
        if found is None:
            raise RuntimeError("the browser measured nothing")
        measured: list[dict[str, Any]] = json.loads(unescape(found[1]))
        for each in measured if has_pictures else ():
            name = Path(unquote(unquote(each["path"]))).stem.replace("/", "_")
            each["picture"] = str(output / f"{name}-{each['width']}.png")
            size = f"--window-size={each['width']},{min(each['height'], 4_000)}"
            _run(program, Path(held), f"{address}/{each['path']}", size, f"--screenshot={each['picture']}")
    return measured


def _run(program: str, profile: Path, address: str, *options: str) -> str:
    # No sandbox: in a container there is none to be had, and the pages are our own.
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ]
    ended = subprocess.run(
        [*command, *options, address], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{program} ended with {ended.returncode}: {ended.stderr[-500:]}")
    return ended.stdout


@contextmanager
def served(folder: Path, jobs: Sequence[tuple[str, int]]) -> Iterator[str]:
    """The folder and the measuring page beside it, on a free port of the loopback."""
    body = MEASURE.replace("JOBS", json.dumps(jobs)).encode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/measure":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(address: str, folder: Path) -> Path:
    """The page of all sites, and some sites' pages, of a running job as files."""
    (folder / "site").mkdir(parents=True)
    index = _asked(f"{address}/?still=1").decode()
    for number, link in enumerate(re.findall(r'<th scope="row"><a href="([^"]+)"', index)[:NUM_SITES]):
        text = _asked(urljoin(f"{address}/", f"{link}?still=1")).decode()
        for picture in re.findall(r'<image [^>]*href="([^"]+)"', text):
            (folder / "site" / f"{number}.png").write_bytes(_asked(urljoin(f"{address}/site/", unescape(picture))))
            text = text.replace(f'href="{picture}"', f'href="{number}.png"')
        (folder / "site" / f"{number}.html").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(index, encoding="utf-8")
    return folder


def _asked(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30.0) as answer:
        content: bytes = answer.read()
        return content


def main() -> int:
    """Look, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", help="address of a running job, or folder of its pages")
    parser.add_argument("--output", type=Path, default=Path("out/pages"), help="folder of the pictures")
    args = parser.parse_args()
    program = browser()
    if program is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is on PATH", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as held:
        is_served = args.pages.startswith(("http://", "https://"))
        folder = fetched(args.pages.rstrip("/"), Path(held) / "pages") if is_served else Path(args.pages)
        found = look(program, folder, args.output)
    for each in found:
        print(f"{each['picture']}: {'; '.join(each['faults']) or 'nothing wrong'}")
    return 1 if any(each["faults"] for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
