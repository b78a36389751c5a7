# SPDX-License-Identifier: GPL-3.0-or-later
"""A missing package of the channel codes is an error when it is asked for, with the remedy."""

from __future__ import annotations

import sys

import pytest

from gened.errors import NotReadyError
from gened.gr_blocks.phy.coding.requirements import PACKAGES, require_packages


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages()
    monkeypatch.setitem(sys.modules, PACKAGES[package], None)  # Python then refuses to import it
    with pytest.raises(NotReadyError, match=rf"the package {package} cannot be loaded .*pip install {package}$"):
        require_packages()
