# SPDX-License-Identifier: GPL-3.0-or-later
"""A Pluto that is not there: the network protocol of libiio, a device tree, and the one channel between two of them.

    client --TCP--> server --> radio: attributes, receive and transmit buffers
                    protocol   tree: devices, channels, what may be written
                                      air: transmit buffers -> phy/channel.py -> receive buffers, on a clock

`server.VirtualPlutos` starts it all. NumPy only; sockets are in `server` alone.
"""
