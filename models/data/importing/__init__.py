# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets as people download them, made into shards: one file a data set (`duts`, `voc`, `coco`, `folder`).

Each has `find(source) -> Found`, which says what is there and how to read the mask of a picture; `make.py` does the
rest, the same for all of them.
"""
