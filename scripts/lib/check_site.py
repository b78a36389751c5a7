# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a built site: internal links lead somewhere, no other host, no Markdown left in a paragraph.

Usage: python scripts/lib/check_site.py site
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
"""Attributes whose target a browser loads by itself. Of `link`, some kinds are loaded, see `LOADED_LINKS`."""

LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}

LEFT_OVER = re.compile(r"^\s*(?:[-*+] |\d{1,2}\. |\|.*\|\s*$|```)|\S {3,}\S", re.MULTILINE)
"""Markdown that was not recognised, as a rule for want of an empty line before it: a list, a table or a fence at the
start of a paragraph's line; and a drawing without a fence, known by its runs of spaces."""


@dataclass
class Content(HTMLParser):
    """What one page of HTML holds: its anchors, its links, what it loads, and the text of its paragraphs."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    _in_paragraph: bool = False
    _in_code: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the anchors and targets of a tag."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        kinds = set(values.get("rel", "").split())
        for name in ("href", "src"):
            if name in values:
                is_loaded = (tag, name) in LOADED or (tag == "link" and bool(kinds & LOADED_LINKS))
                (self.loaded if is_loaded else self.links).append(values[name])
        if tag == "p":
            self._in_paragraph = True
            self.paragraphs.append("")
        self._in_code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph or a code span."""
        self._in_paragraph &= tag != "p"
        self._in_code -= tag == "code"

    def handle_data(self, data: str) -> None:
        """Collect the text of a paragraph, without its code spans."""
        if self._in_paragraph and not self._in_code:
            self.paragraphs[-1] += data


@cache
def read(path: Path) -> Content:
    """Return the content of an HTML file."""
    content = Content()
    content.feed(path.read_text())
    return content


def faults_of(page: Path) -> list[str]:
    """Return one line per fault of a page; `page` and its links are files of the built site."""
    content = read(page)
    faults = [f"loads {url} from another host" for url in content.loaded if urlsplit(url).netloc]
    for link in [*content.links, *content.loaded]:
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            faults.append(f"links to {link}, which is not there")
        elif url.fragment and target.suffix == ".html" and not has_anchor(read(target), unquote(url.fragment)):
            faults.append(f"links to {link}, but there is no such anchor")
    faults += [f"Markdown left over: {text.strip()[:80]!r}" for text in content.paragraphs if LEFT_OVER.search(text)]
    return faults


def has_anchor(content: Content, anchor: str) -> bool:
    """Return whether a page has an anchor; `__`-names are the theme's own and are made by its script."""
    return anchor in content.anchors or anchor.startswith("__")


def main(site: Path) -> int:
    """Print the faults of a site and return the exit status."""
    # Links of 404.html begin at the host's root, as the page stands for any address.
    pages = sorted(page for page in site.rglob("*.html") if page.name != "404.html")
    if not pages:
        print(f"error: there is no page in {site}", file=sys.stderr)
        return 1
    faults = [f"{page.relative_to(site)}: {fault}" for page in pages for fault in faults_of(page)]
    print(*faults, f"{len(pages)} pages, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
