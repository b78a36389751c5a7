# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec `deepjscc`: joint source-channel coding by convolutional networks, one set of weights for all SNRs.

References:
    Bourtsoulatze, Burth Kurka and Gündüz, "Deep joint source-channel coding for wireless image transmission", IEEE
        Trans. Cogn. Commun. Netw. 5(3), 2019.
    Xu et al., "Wireless image transmission using deep source channel coding with attention modules", IEEE Trans. CSVT
        32(4), 2022: the SNR as an input of both ends.
"""
