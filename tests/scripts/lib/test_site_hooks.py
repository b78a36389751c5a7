# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site holds every page and every package, and links of the repository lead to the site's pages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

config_module: Any = pytest.importorskip("mkdocs.config", reason="the site: pip install 'gr-gened[docs]'")
files_module: Any = pytest.importorskip("mkdocs.structure.files", reason="the site: pip install 'gr-gened[docs]'")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "scripts" / "lib" / "site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site() -> tuple[Any, Any]:
    """Configuration and files of the site, after the hooks that mkdocs.yml names."""
    config = config_module.load_config(str(ROOT / "mkdocs.yml"), plugins=["search"])
    return config, config.plugins.run_event("files", files_module.get_files(config), config=config)


def markdown_of(site: tuple[Any, Any], uri: str, markdown: str) -> str:
    """Markdown of a page after the hooks."""
    config, files = site
    page = type("Page", (), {"file": files.get_file_from_path(uri)})
    return str(config.plugins.run_event("page_markdown", markdown, page=page, config=config, files=files))


def test_every_package_and_module_has_its_place(hooks: ModuleType) -> None:
    packages = hooks.packages()
    assert {"gened", "gened.link", "gened.gr_blocks.phy.ofdm", "gened.models.codecs"} <= set(packages)
    assert "gened.link.transmit" in packages["gened.link"]
    page = hooks.api_page("gened.link", packages["gened.link"])
    assert page.startswith("# gened.link\n") and "::: gened.link.transmit\n" in page


def test_every_file_of_docs_and_the_projects_own_pages_are_on_the_site(site: tuple[Any, Any]) -> None:
    found = {file.src_uri for file in site[1]}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= found
    assert {
        "project/README.md",
        "project/CONTRIBUTING.md",
        "labs/01-first-picture/README.md",
        "api/gened.md",
        "api/gened.link.md",
    } <= found


@pytest.mark.parametrize(
    ("uri", "markdown", "expected"),
    [
        ("codec.md", "[x](editor.md#what)", "[x](editor.md#what)"),
        ("codec.md", "[x](../CONTRIBUTING.md)", "[x](project/CONTRIBUTING.md)"),
        ("codec.md", "[profiles](../hw_config/)", "profiles"),
        ("codec.md", "[x](https://sigmf.org)", "[x](https://sigmf.org)"),
        ("codec.md", "`[x](../hw_config/)`", "`[x](../hw_config/)`"),
        ("project/README.md", "![x](docs/demo.png)", "![x](../demo.png)"),
        ("project/README.md", "[x](SECURITY.md)", "[x](SECURITY.md)"),
        ("labs/01-first-picture/README.md", "[x](../../docs/recording.md)", "[x](../../recording.md)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(
    site: tuple[Any, Any], uri: str, markdown: str, expected: str
) -> None:
    assert markdown_of(site, uri, markdown) == expected


def test_a_link_to_a_file_of_the_repository_takes_it_along(site: tuple[Any, Any]) -> None:
    assert markdown_of(site, "labs/01-first-picture/README.md", "[x](checks.py)") == "[x](checks.py)"
    assert site[1].get_file_from_path("labs/01-first-picture/checks.py") is not None


def test_a_link_to_nothing_stops_the_build(site: tuple[Any, Any]) -> None:
    with pytest.raises(Exception, match="there is no docs/gone.md in the repository"):
        markdown_of(site, "codec.md", "[x](gone.md)")
