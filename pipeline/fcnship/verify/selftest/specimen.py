"""A copy of a run: what faults are put into, and what the gates have to know of it."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this package)
from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.collection import part_of
from fcnship.graph.cost import cost_of
from fcnship.runners import ORIGINAL, Runner, open_runner, run
from fcnship.runs import check_whole, options_of
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.engine import Source, sources_of
from fcnship.stages.run_parity import stride_of
from fcnship.stages.savedmodel import FOLDER as SAVEDMODEL
from fcnship.verify.accuracy import images_for, scores_of
from fcnship.verify.image_batches import ImageBatches
from fcnship.verify.selftest.faults import Setting

ONNX = "onnx/fp32.onnx"
_NEEDED = ("train", "convert", "savedmodel", "onnx")
_LATER = ("validate", "report")
_OF_LATER = ("validation.json", "latency.json", "report.*", "junit.xml", "reproduce")
_NOT_COPIED = shutil.ignore_patterns(".lock", ".fcnship-tmp-*", *_OF_LATER)
_MOST_DECISIONS = 64


class Specimen:
    """A copy of a run folder. Faults go into it or beside it, never into the run itself."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.session = Session(options_of(folder))
        for stage in _NEEDED:
            check_whole(self.session.workspace, stage)

    @classmethod
    def copy_of(cls, run: Path, folder: Path) -> Specimen:
        """Copy a run folder, which is only read.

        Raises:
            UsageError: it is no run folder, or not built as far as its ONNX file.
            ArtifactError: it is damaged.
        """
        options_of(run)
        copy = folder / run.resolve().name
        shutil.copytree(run, copy, ignore=_NOT_COPIED)
        record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
        # What the run was held against and what was found then is not what its copies are asked.
        record["options"] |= {"baseline": None, "max_slowdown": None, "min_accuracy": None}
        record["stages"] = [stage for stage in record["stages"] if stage["name"] not in _LATER]
        (copy / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return cls(copy.name, copy)

    def path(self, relative: str) -> Path:
        """A file of the copy."""
        return self.session.workspace.path(relative)

    def fresh_copy(self, folder: Path) -> Specimen:
        """Another copy, for a fault in the folder itself."""
        shutil.copytree(self.folder, folder / self.name)
        return Specimen(self.name, folder / self.name)

    @property
    def stride(self) -> Size:
        """The total stride, down and across."""
        return stride_of(self.session.facts)

    @cached_property
    def setting(self) -> Setting:
        """What faults have to know of the network."""
        low, high = self.session.facts.value_range
        return Setting(
            channels=self.session.facts.geometry.channels,
            layout=self.session.options.layout,
            stride=self.stride,
            batch=max(profile.batch[2] for profile in self.session.profiles),
            middle=(low + high) / 2,
            classes=self._exchanged,
        )

    @cached_property
    def original(self) -> Runner:
        """The Keras network."""
        return open_runner(ORIGINAL, self.session.network_file, self.session.options.layout)

    @property
    def files(self) -> list[Path]:
        """What is held against the original: SavedModel, ONNX files, engines."""
        records = self.session.workspace.records()
        engines = records["engine"].artifacts if "engine" in records else ()
        return [
            self.path(SAVEDMODEL),
            *(self.path(source.file) for source in self.sources),
            *(self.path(artifact.path) for artifact in engines if artifact.path.endswith(".engine")),
        ]

    @property
    def sources(self) -> list[Source]:
        """The ONNX files, with the layers that each keeps in FP32."""
        return sources_of(self.session)

    def onnx_model(self) -> Any:
        """The FP32 ONNX file, to be changed."""
        import onnx

        return onnx.load(self.path(ONNX))

    def onnx_runner(self, path: Path | None = None) -> Runner:
        """The FP32 ONNX file, or a faulty one, opened anew."""
        return open_runner("onnx-fp32", path or self.path(ONNX), self.session.options.layout)

    def images(self, seed: int) -> ImageBatches:
        """The images of a comparison, as ``fcnship validate`` draws them."""
        data, facts = self.session.data, self.session.facts
        return ImageBatches(
            channels=facts.geometry.channels,
            value_range=facts.value_range,
            pictures=data.x_test,
            picture_range=data.value_range,
            seed=seed,
        )

    @property
    def smallest(self) -> Size:
        """The first profile's smallest size: the cheapest that every variant serves."""
        return self.session.profiles[0].min

    @cached_property
    def decided(self) -> Dataset:
        """Test images, each with the class that the original decides on at the smallest size.

        So the original is right always, whatever it was trained on and however well.
        """
        data, size = self.session.data, self.smallest
        work = cost_of(self.session.facts.network, size).multiply_adds
        count = min(_MOST_DECISIONS, images_for(work), len(data.x_test))
        images = data.at_size(data.x_test, range(count), size, self.session.facts.value_range)
        decisions = [int(scores_of(run(self.original, image[None])).argmax()) for image in images]
        return replace(data, x_test=part_of(data.x_test, range(count)), y_test=np.array(decisions))

    @property
    def _exchanged(self) -> tuple[int, int]:
        often = int(np.bincount(self.decided.y_test).argmax())
        return often, (often + 1) % max(2, self.session.facts.geometry.classes)

    def close(self) -> None:
        """Close what was opened."""
        if "original" in self.__dict__:
            self.original.close()


def narrowed_file(specimen: Specimen, path: Path, keep: Collection[str] = ()) -> Path:
    """Write the ONNX file in FP16, but for the layers in ``keep``, as a build would; gives ``path``."""
    import onnx

    from fcnship.precision.fp16 import narrowed

    onnx.save(narrowed(specimen.onnx_model(), keep=keep), path)
    return path
