# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of an evaluation, measured in this process or divided among several."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gened.errors import GenedError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.types import ImageSize
from gened.models.captioning.base import Captioner
from gened.models.captioning.registry import load_captioner
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import MAX_SEED, EncodeOptions
from gened.models.codecs.registry import load_codec
from gened.models.data.evaluation_set import Item, read_captions, read_item
from gened.models.editing.base import Editor
from gened.models.evaluation.metrics.metric_set import MetricSet
from gened.models.evaluation.metrics.registry import DEFAULT
from gened.models.evaluation.run.cache import ScoreCache
from gened.models.evaluation.run.caption_link import Captions
from gened.models.evaluation.run.measure import Judges, MaskSource, Over, Score, Sent, Setting, score, send, send_batch
from gened.models.serving.remote_editor import RemoteEditor, editor_at, is_address
from gened.models.serving.worker import JobResult, Worker

SERVICE = "gened.models.evaluation.run.workers:PictureService"
PICTURE_TIMEOUT_S = 3600.0
"""Enough for a picture of 4096x4096 with all metrics, at many SNRs, on a busy machine."""
SEED_STEP = 1000
"""Difference of the seeds of two noise realisations of one picture; the seeds of two pictures differ by 1."""


Words = Literal["right", "none", "other"]
"""Words for the editor: the caption of the picture, none, or the caption of the next picture."""


@dataclass(frozen=True)
class EditorPlan:
    """The editor of the received pictures, and its words."""

    name: str
    """A backend, or the address of a service."""
    device: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    strength: float = 1.0
    words: Words = "right"
    captioner: str = "layout"
    """Captioner for the pictures of a data set without captions."""
    captioner_options: dict[str, Any] = field(default_factory=dict)
    keys: str | None = None
    """Folder with the CURVE keys of the client, for a service."""
    timeout_s: float = 60.0
    """Time limit of a picture, for a service."""

    def load(self) -> Editor:
        """The editor itself.

        Raises:
            EditorError: It cannot be loaded, or no service answers.
        """
        keys = None if self.keys is None else Path(self.keys)
        return editor_at(self.name, device=self.device, options=self.options, keys=keys, timeout_s=self.timeout_s)

    def backend(self) -> str:
        """The name of the backend; a service is asked for it.

        Raises:
            EditorError: No service answers.
        """
        if not is_address(self.name):
            return self.name
        remote = RemoteEditor(self.name, keys=None if self.keys is None else Path(self.keys))
        remote.close()
        return remote.name


@dataclass(frozen=True)
class Plan:
    """What is measured on each picture; pickled to the worker processes."""

    data: Path
    paths: tuple[Path, ...]
    snrs_db: tuple[float, ...]
    encode: EncodeOptions = EncodeOptions()
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    over: Over = "channel"
    seeds: int = 1
    base_seed: int = 0
    """Decides all noise seeds, see `noise_seed`."""
    resize: int | None = None
    mask: MaskSource = "codec"
    snr_error_db: float = 0.0
    metrics: tuple[str, ...] = DEFAULT
    clip: str | None = None
    cache: Path | None = None
    codec_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the codec's constructor, where a process makes it."""
    batch: int = 1
    """Number of pictures that are encoded and decoded together."""
    editor: EditorPlan | None = None
    skip_bad: bool = False
    """Whether a picture that fails is left out, instead of ending the evaluation."""
    captions: Captions = "sent"


def noise_seed(base: int, realisation: int, picture: int) -> int:
    """Seed of one noise realisation of one picture.

    Args:
        base: Base seed of the evaluation. The seeds of different bases are independent; base 0 counts in steps.
        realisation: Number of the noise realisation.
        picture: Index of the picture.
    """
    if base == 0:
        return SEED_STEP * realisation + picture
    return int(np.random.SeedSequence([base, realisation, picture]).generate_state(1)[0]) % MAX_SEED


@dataclass(frozen=True)
class Failed:
    """Why a picture has no scores."""

    reason: str


PictureScores = list[list[Score]] | Failed
"""Scores of a picture, [SNR][noise realisation]; or why it has none."""


@dataclass(frozen=True)
class _Shown:
    """A picture of the data with its index, and the words for the editor."""

    index: int
    item: Item
    text: str = ""


class Evaluator:
    """Measures pictures, several of one size together."""

    def __init__(self, codec: Codec, plan: Plan) -> None:
        self._codec = codec
        self._plan = plan
        self._captions = read_captions(plan.data)
        self._cache = ScoreCache(plan.cache)
        editor: Editor | None = None
        self._captioner: Captioner | None = None
        if plan.editor is not None:
            editor = plan.editor.load()
            if plan.editor.words != "none" and any(path.name not in self._captions for path in plan.paths):
                self._captioner = load_captioner(plan.editor.captioner, **plan.editor.captioner_options)
        strength = 1.0 if plan.editor is None else plan.editor.strength
        self._judges = Judges(MetricSet(plan.metrics, clip=plan.clip), editor, strength)

    def _item(self, index: int) -> Item:
        """A picture with its caption, from the data or, for an editor, from the captioner."""
        item = read_item(self._plan.data, self._plan.paths[index], self._plan.resize, self._captions)
        if item.caption is None and self._captioner is not None:
            return replace(item, caption=self._captioner.describe(item.x))
        return item

    def _text(self, index: int, item: Item) -> str:
        """The words for the editor."""
        words = "none" if self._plan.editor is None else self._plan.editor.words
        if words == "other":
            item = self._item((index + 1) % len(self._plan.paths))
        return "" if words == "none" else item.caption or ""

    def measure(self, indices: Sequence[int]) -> list[PictureScores]:
        """Scores of each of these pictures: per SNR, one per noise realisation.

        Raises:
            GenedError: A picture cannot be read, or the codec cannot do what is asked; the message names the picture.
        """
        try:
            return list(self._measure(indices))
        except GenedError as error:
            if len(indices) > 1:  # one by one, to find the picture that failed
                return [scores for index in indices for scores in self.measure([index])]
            path = self._plan.paths[indices[0]]
            if path.name not in str(error):
                error.args = (f"{path}: {error}",)
            if self._plan.skip_bad:
                return [Failed(str(error))]
            raise

    def _measure(self, indices: Sequence[int]) -> list[list[list[Score]]]:
        plan = self._plan
        shown = [_Shown(index, self._item(index)) for index in indices]
        shown = [replace(one, text=self._text(one.index, one.item)) for one in shown]
        base = Setting(
            encode=plan.encode,
            channel=plan.channel,
            over=plan.over,
            mask=plan.mask,
            snr_error_db=plan.snr_error_db,
            captions=plan.captions,
        )
        scores: list[list[list[Score]]] = [[[] for _ in plan.snrs_db] for _ in shown]
        for level, snr_db in enumerate(plan.snrs_db):
            for drawing in range(plan.seeds):
                setting = replace(base, snr_db=snr_db)
                for place, found in zip(scores, self._scores(shown, setting, drawing), strict=True):
                    place[level].append(found)
        return scores

    def _scores(self, shown: Sequence[_Shown], setting: Setting, realisation: int) -> list[Score]:
        """Scores at one SNR with one noise realisation, from the cache as far as it holds them."""
        base = self._plan.base_seed
        settings = [replace(setting, seed=noise_seed(base, realisation, one.index)) for one in shown]
        keys = [{**self._known(one), **each.as_key()} for one, each in zip(shown, settings, strict=True)]
        found = {i: known for i, key in enumerate(keys) if (known := self._cache.find(key)) is not None}
        missing = [i for i in range(len(shown)) if i not in found]
        for i, sent in self._sent(shown, settings, missing):
            found[i] = score(shown[i].item, sent, settings[i], self._judges, shown[i].text)
            self._cache.keep(keys[i], found[i])
        return [found[i] for i in range(len(shown))]

    def _sent(
        self, shown: Sequence[_Shown], settings: Sequence[Setting], chosen: Sequence[int]
    ) -> Iterator[tuple[int, Sent]]:
        """Pictures by index as they are sent, those of one size together."""
        sizes: dict[ImageSize, list[int]] = {}
        for i in chosen:
            sizes.setdefault(shown[i].item.size, []).append(i)
        for members in sizes.values():
            if len(members) == 1:
                yield members[0], send(self._codec, shown[members[0]].item, settings[members[0]])
                continue
            items, seeds = [shown[i].item for i in members], [settings[i].seed for i in members]
            yield from zip(members, send_batch(self._codec, items, settings[members[0]], seeds), strict=True)

    def _known(self, one: _Shown) -> dict[str, Any]:
        """Everything that a score depends on besides the setting."""
        judges, plan = self._judges, self._plan
        return {
            "codec": [self._codec.name, self._codec.codec_id],
            "picture": one.item.content_hash(),
            "metrics": judges.metrics.versions(),
            "editor": None
            if plan.editor is None
            else [asdict(plan.editor), one.text, getattr(judges.editor, "version", "")],
            **({"codec_options": dict(plan.codec_options)} if plan.codec_options else {}),
        }


class PictureService:
    """Service of a worker process; it returns user errors as values, so that their class survives."""

    def __init__(self, codec: str, device: str, plan: Plan) -> None:
        self._evaluator: Evaluator | GenedError
        try:
            self._evaluator = Evaluator(load_codec(codec, device=device, **plan.codec_options), plan)
        except GenedError as error:
            self._evaluator = error

    def measure(self, indices: Sequence[int]) -> list[PictureScores] | GenedError:
        """See `Evaluator.measure`."""
        if isinstance(self._evaluator, GenedError):
            return self._evaluator
        try:
            return self._evaluator.measure(indices)
        except GenedError as error:
            return error


def measure_here(codec: Codec, plan: Plan, progress: Callable[[int, int], None]) -> list[PictureScores]:
    """Scores of each picture, measured in this process."""
    evaluator = Evaluator(codec, plan)
    found: list[PictureScores] = []
    for indices in _batches(plan):
        found += evaluator.measure(indices)
        progress(len(found), len(plan.paths))
    return found


def _batches(plan: Plan) -> list[range]:
    n = len(plan.paths)
    return [range(first, min(first + plan.batch, n)) for first in range(0, n, plan.batch)]


def measure_in_processes(
    codec: str,
    device: str,
    plan: Plan,
    n_workers: int,
    progress: Callable[[int, int], None],
    *,
    threads: int | None = None,
) -> list[PictureScores]:
    """As `measure_here`, in worker processes; each takes the next batch when it has finished one.

    Args:
        codec: Name or folder of the codec; each process loads it.
        device: PyTorch device.
        plan: What is measured.
        n_workers: Number of processes.
        progress: Called with pictures done and to do.
        threads: Threads of PyTorch and BLAS in each process; None: the cores, divided among the processes.

    Raises:
        GenedError: As in one process; or a process died.
    """
    n_pictures = len(plan.paths)
    n_threads = threads or max(1, (os.cpu_count() or 1) // n_workers)
    done: queue.SimpleQueue[tuple[Worker, JobResult]] = queue.SimpleQueue()
    found: dict[int, list[PictureScores]] = {}
    batches = _batches(plan)
    options = {"codec": codec, "device": device, "plan": plan}
    todo = iter(range(len(batches)))

    def give_next(worker: Worker) -> None:
        index = next(todo, None)
        if index is not None:
            worker.submit("measure", lambda result: done.put((worker, result)), tag=index, indices=batches[index])

    with ExitStack() as stack:
        for _ in range(min(n_workers, len(batches))):
            give_next(stack.enter_context(Worker(SERVICE, options, n_threads=n_threads, timeout_s=PICTURE_TIMEOUT_S)))
        while len(found) < len(batches):
            worker, result = done.get()
            if result.error is not None:
                raise GenedError(f"{plan.paths[batches[result.tag].start].name}: {result.error}")
            if isinstance(result.value, GenedError):
                raise result.value
            found[result.tag] = result.value
            give_next(worker)
            progress(sum(len(scores) for scores in found.values()), n_pictures)
    return [scores for index in range(len(batches)) for scores in found[index]]
