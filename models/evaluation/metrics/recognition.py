# SPDX-License-Identifier: GPL-3.0-or-later
"""Recognition: whether a classifier and a detector find the same in the received picture as in the original.

The classifier is that of `classifier.py`, the detector (COCO classes) that of the captioner `layout`. No training of a
codec or an editor uses them.
"""

from __future__ import annotations

from gened.models.captioning.detector import Detection, Detector, overlap
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.classifier import Classifier
from gened.models.evaluation.metrics.pixel_metrics import rounded

MIN_OVERLAP = 0.5
"""Least intersection over union of two boxes that count as the same object."""


class Recognition:
    """Agreement of what the two machines say of the original and of the received picture.

    Raises:
        ConfigError: A package is not installed.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._detector = Detector()
        self.version = f"{classifier.version}; {self._detector.version}"
        self._original: tuple[Picture, int, list[Detection]] | None = None

    def __call__(self, x: Picture, x_hat: Picture) -> dict[str, float | None]:
        """`class_agreement`: 1 where the likeliest class is the same, else 0; `detector_f1`: see `detection_f1`."""
        if self._original is None or self._original[0] is not x:
            self._original = (x, self._classifier.top_class(x), self._detector(rounded(x)))
        _, wanted, objects = self._original
        return {
            "class_agreement": float(self._classifier.top_class(x_hat) == wanted),
            "detector_f1": detection_f1(objects, self._detector(rounded(x_hat))),
        }


def detection_f1(wanted: list[Detection], found: list[Detection]) -> float | None:
    """F1 of the objects that were found again: same name, boxes that overlap by half; None where there were none.

    Args:
        wanted: In the original, the surest first.
        found: In the received picture, the same.
    """
    if not wanted:
        return None
    left = list(wanted)
    hits = 0
    for one in found:
        best = max((other for other in left if other.name == one.name), key=lambda o: overlap(one, o), default=None)
        if best is not None and overlap(one, best) >= MIN_OVERLAP:
            left.remove(best)
            hits += 1
    return 2 * hits / (len(wanted) + len(found))


class RecognitionMetric(Metric):
    """The registered metric."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._recognition = Recognition(resources.classifier)
        self.version = self._recognition.version

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`class_agreement` and `detector_f1`."""
        return self._recognition(item.x, x_hat)
