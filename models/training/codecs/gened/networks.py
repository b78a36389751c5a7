# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that exist only in the training of `gened`, around those of the codec."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gened.models.codecs.analog.linear import LinearCoder
from gened.models.codecs.gened.context_matching import ContextMatching
from gened.models.codecs.gened.decoder import Corrected
from gened.models.codecs.gened.encoder import Change, EncoderInput
from gened.models.codecs.gened.importance import Importance
from gened.models.codecs.gened.synthesis import Synthesis, gather
from gened.models.training.codecs.gened.samples import Flight, decoder_input


class TaughtImportance(nn.Module):
    """The importance network, and the context matching from which its score map S is distilled."""

    def __init__(self, network: nn.Module, matching: ContextMatching) -> None:
        super().__init__()
        self.network, self.matching = network, matching

    def forward(self, x: Tensor) -> tuple[Tensor, Importance]:
        """S and M of the importance network."""
        result: tuple[Tensor, Importance] = self.network(x)
        return result


class EndToEnd(nn.Module):
    """Encoder network, differentiable channel and decoder network.

        picture -> [linear code] -> z --(+)--> noise -> [estimate] -> [decoder] -> x_hat
                       |               ^
                       +-> [encoder] --+ change of the coefficients

    Args:
        encoder: None: the linear code alone.
        decoder: The receiver's network.
        coder: The linear code, which is not trained.
    """

    def __init__(self, encoder: nn.Module | None, decoder: nn.Module, coder: LinearCoder) -> None:
        super().__init__()
        self.encoder, self.decoder, self.coder = encoder, decoder, coder

    def forward(self, flight: Flight, device: torch.device) -> tuple[Corrected, Change | None]:
        """What the receiver decodes of a batch of crops, and what the encoder changed."""
        given = decoder_input(flight.sample, device)
        change: Change | None = None
        if self.encoder is not None:
            encoded: Change = self.encoder(
                EncoderInput(given.picture, given.classes, given.sent_mask, given.snr_db, given.rate)
            )
            change = encoded
        with torch.autocast(device.type, enabled=False):
            pictures = [self._received(flight, index, change, device) for index in range(len(flight.analyses))]
        picture = torch.cat(pictures).contiguous(memory_format=torch.channels_last)  # [B, 3, c, c]
        corrected: Corrected = self.decoder(given._replace(picture=picture))
        return corrected, change

    def _received(self, flight: Flight, index: int, change: Change | None, device: torch.device) -> Tensor:
        """The receiver's linear estimate of one crop, [1, 3, c, c]."""
        analysis = flight.analyses[index]
        synthesis = Synthesis(self.coder, analysis, device)
        z = torch.from_numpy(analysis.z).to(device)
        if change is not None:
            z = z + gather(change.coefficients[index].flatten(1).T, analysis.layout)
        noise = torch.from_numpy(flight.noises[index]).to(device)
        return synthesis(synthesis.arrived(z, [noise], 10 ** (-analysis.snr_db / 10) / 2)[0])
