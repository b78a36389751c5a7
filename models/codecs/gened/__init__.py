# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec `gened`: an importance network weights the linear code of `analog/`; a dual-branch network decodes.

References:
    "GenED-SC: generative editing semantic communication", arXiv:2606.04015.
"""
