# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of the documentation site that do not lie in docs/; mkdocs.yml names this file under `hooks`.

Three things are added to the pages of docs/: the repository's own pages (README, CONTRIBUTING, the labs ...), one API
page per package of `gened`, which mkdocstrings writes from the docstrings, and the links between all of them, which are
relative to the repository's folders in the sources.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

PROJECT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages of the repository's top folder; they are site pages below `project/`."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)#\s]+)(#[^)\s]+)?\)")
"""An inline link or picture: mark of a picture, text, target, anchor. Links in `CODE` stay."""

CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the API pages to the navigation."""
    api = [{package.removeprefix("gened."): api_uri(package)} for package in packages()]
    config.nav = [*(config.nav or []), {"API": api}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's own pages and one API page per package."""
    for source in [*PROJECT_PAGES, *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("labs/*/*.md")))]:
        files.append(File.generated(config, site_uri(source), abs_src_path=str(ROOT / source)))
    for package, modules in packages().items():
        files.append(File.generated(config, api_uri(package), content=api_page(package, modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between folders of the repository into links between pages of the site."""
    folder = posixpath.dirname(repository_path(page.file.src_uri))

    def rewrite(link: re.Match[str]) -> str:
        mark, text, target, anchor = link.group(1), link.group(2), link.group(3), link.group(4) or ""
        if ":" in target:
            return link.group()
        source = posixpath.normpath(posixpath.join(folder, target))
        if (ROOT / source).is_dir():
            return text  # a folder of the sources is not part of the site
        if not (ROOT / source).is_file():
            raise PluginError(f"{page.file.src_uri}: there is no {source} in the repository")
        uri = site_uri(source)
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
        return f"{mark}[{text}]({posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    parts = CODE.split(markdown)  # text, code, text, ...
    return "".join(part if i % 2 else LINK.sub(rewrite, part) for i, part in enumerate(parts))


def site_uri(source: str) -> str:
    """Return the site's path of a file of the repository, both relative and with slashes."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return source if "/" in source else f"project/{source}"


def repository_path(uri: str) -> str:
    """Return the path in the repository of a page of the site: `site_uri` reversed."""
    if uri.startswith("project/"):
        return uri.removeprefix("project/")
    return uri if uri.startswith(("labs/", "api/")) else f"docs/{uri}"


def packages() -> dict[str, list[str]]:
    """Return the packages of `gened` by dotted name, each with its modules in order; folders behind links included."""
    found: dict[str, list[str]] = {}
    for folder, folders, names in os.walk(ROOT / "gened", followlinks=True):
        folders[:] = sorted(name for name in folders if (Path(folder) / name / "__init__.py").exists())
        package = ".".join(Path(folder).relative_to(ROOT).parts)
        found[package] = sorted(f"{package}.{name[:-3]}" for name in names if is_module(name))
    return dict(sorted(found.items()))


def is_module(name: str) -> bool:
    """Return whether a file is a module to be documented: not `__init__`, which is its package, nor `__main__`."""
    return name.endswith(".py") and not name.startswith("__")


def api_uri(package: str) -> str:
    """Return the site's path of a package's API page."""
    return f"api/{package}.md"


def api_page(package: str, modules: list[str]) -> str:
    """Return the Markdown of a package's API page: its own docstring, then each module under a heading of its own."""
    options = "    options:\n      show_submodules: false\n"
    return "\n".join([f"# {package}\n", *(f"::: {name}\n{options}" for name in (package, *modules))])
