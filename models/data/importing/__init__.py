# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert downloaded data sets to shards: one module per data set (`duts`, `voc`, `coco`, `folder`).

Each module has `find(source) -> Found`, which lists the pictures and how to read the mask of each; `make.py` reduces,
encodes and packs them.
"""
