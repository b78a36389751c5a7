# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that run networks: the worker of each side, and the editor's service and client."""
