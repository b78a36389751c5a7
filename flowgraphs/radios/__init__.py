# SPDX-License-Identifier: GPL-3.0-or-later
"""Radios: one module a driver, registered with `gened.flowgraphs.radios.profiles`. Nothing else knows about drivers."""
