# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec `softcast`: linear analogue transmission of transform coefficients with optimal powers, no network.

References:
    Jakubczak and Katabi, "A cross-layer design for scalable mobile video", ACM MobiCom 2011 (SoftCast).
    Lee and Petersen, "Optimal linear coding for vector channels", IEEE Trans. Commun. 24(12), 1976.
"""
