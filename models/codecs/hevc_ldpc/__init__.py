# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec `hevc-ldpc`: the digital reference, HEVC intra coding with LDPC codes and QAM.

References:
    ITU-T H.265, "High efficiency video coding".
    IEEE Std 802.16e-2005, section 8.4.9.2.5: the LDPC codes.
"""
