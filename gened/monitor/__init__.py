# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring of a running link: named causes, radio events, live figures."""
