# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m gened`, the same as `gened`."""

import sys

from gened.cli import main

sys.exit(main())
