# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that run networks: the workers of transmitter and receiver, and the editor's service and client."""
