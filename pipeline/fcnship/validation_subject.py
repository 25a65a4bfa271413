"""What is compared when model files are: their geometry, the images, the bounds, the cases."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fcnship.data import Dataset, find_data
from fcnship.data.notes import left_out
from fcnship.errors import FcnshipError, ModelRefused, ProfileRefused
from fcnship.graph.cost import cost_of
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.graph.propagate import is_legal
from fcnship.machine import available_bytes
from fcnship.runners import Runner
from fcnship.runners.files import Interface, ModelFileOpened
from fcnship.runners.onnxruntime import OnnxRunner
from fcnship.sizes import Profile, Size, covering
from fcnship.stages.run_parity import chosen_bounds, stride_of
from fcnship.stages.run_predictions import told
from fcnship.validation_predictions import predictions
from fcnship.verify import reproducer
from fcnship.verify.bounds import POOLED_IMAGES, Bounds, MeasuredBounds, Prediction, RepeatedBounds, pooled
from fcnship.verify.image_batches import ImageBatches
from fcnship.verify.noise import float64_copy
from fcnship.verify.outputs_file import SavedOutputs
from fcnship.verify.sizes_that_find import cases_that_find
from fcnship.verify.sweep import Subject
from fcnship.verify.tolerance import Tolerance
from fcnship.wording import counted
from fcnship.workspace import Workspace

if TYPE_CHECKING:
    from fcnship.validation import FilesRequest

DEFAULT_PROFILE = "28-224"
# Where no Keras file among those compared tells its total stride.
ASSUMED_STRIDE = 32
_SHARE_OF_MEMORY = 4


class FilesSubject:
    """Made from the opened files; the first is the reference."""

    def __init__(
        self,
        request: FilesRequest,
        files: Sequence[ModelFileOpened],
        loaded: Sequence[Runner],
        saved: SavedOutputs | None,
    ) -> None:
        self._request, self._files, self._saved = request, files, saved
        self.interface: Interface = files[0].interface
        self.facts = _facts(files)
        self.notes: list[str] = []
        self.profiles = self._profiles()
        self.value_range = request.value_range or (saved.value_range if saved else self._value_range())
        self.images = self._image_batches()
        self.subject = Subject(
            reference=files[0].runner,
            candidates=[*(file.runner for file in files[1:]), *loaded],
            images=self.images,
            bounds=chosen_bounds(self._pooled_bounds(), request.checks),
            served=lambda size, batch: any(profile.serves(size, batch) for profile in self.profiles),
            affordable=self.affordable,
            predictions=self._predictions([*(file.runner for file in files[1:]), *loaded]),
        )

    @property
    def tolerance(self) -> str:
        """How the tolerances come about, in words."""
        return self.subject.bounds.text() + told(self.subject.predictions)

    @property
    def data_name(self) -> str:
        """Where the images are from."""
        return self._data.name if self.images.pictures is not None and self._data else "noise"

    @property
    def left_out(self) -> dict[str, Any]:
        """Files of a folder that could not be used, as a report has them."""
        facts = self._data.facts if self._data else {}
        return {key: facts[key] for key in ("skipped", "skipped_files") if key in facts}

    def cases(self) -> list[tuple[Size, int]]:
        """Those of the loaded outputs, else the sizes that find faults."""
        if self._saved:
            return list(self._saved.cases)
        stride = stride_of(self.facts) if self.facts else Size(ASSUMED_STRIDE, ASSUMED_STRIDE)
        found = cases_that_find(self.profiles, stride, self._legal, self._request.checks.sizes)
        fixed = next((file.interface.batch for file in self._files if file.interface.batch), None)
        return sorted({(size, fixed or batch) for size, batch in found})

    def reproducers(self, rows: Sequence[Mapping[str, Any]], workspace: Workspace) -> list[dict[str, Any]]:
        """Write one for each file that failed."""
        failed = defaultdict(list)
        for row in rows:
            if not row["passed"]:
                failed[row["variant"]].append(dict(row))
        stride = stride_of(self.facts) if self.facts else Size(ASSUMED_STRIDE, ASSUMED_STRIDE)
        found = [
            reproducer.written(
                self.subject,
                file.runner,
                failed[file.runner.variant],
                smallest=covering(self.profiles)[0],
                stride=stride,
                workspace=workspace,
                model=file.path,
                layout=file.layout,
            )
            for file in self._files[1:]
            if file.runner.variant in failed
        ]
        return [each for each in found if each]

    def _profiles(self) -> tuple[Profile, ...]:
        """The profiles asked for; else a fixed size, the engine's own, or 28-224 where that is legal."""
        fixed = self._fixed()
        if self._request.profiles:
            for profile in self._request.profiles:
                if fixed and not profile.min == profile.max == fixed:
                    raise ProfileRefused(
                        f"the profile {profile} asks for other sizes than {fixed}",
                        cause="one of the files takes that size alone",
                        next=f"leave out --profile, or give --profile {fixed}",
                    )
            return self._request.profiles
        if self._saved:
            return self._saved.profiles
        if fixed:
            return (Profile.parse(f"{fixed}"),)
        for file in self._files:
            if "profiles" in file.about and isinstance(file.about["profiles"], list):
                return tuple(_profile(row) for row in file.about["profiles"])
        profile = Profile.parse(DEFAULT_PROFILE)
        smallest = self.facts.geometry.minimum_size if self.facts else profile.min
        if smallest.within(Size(1, 1), profile.min):
            return (profile,)
        low = Size(max(smallest.height, 28), max(smallest.width, 28))
        high = Size(max(2 * low.height, 224), max(2 * low.width, 224))
        self.notes.append(f"sizes from {low} on are compared: the network does not run below {smallest}")
        return (Profile.parse(f"{low}-{high}"),)

    def _fixed(self) -> Size | None:
        """The one size that a file takes, if there is such a file."""
        for file in self._files:
            if file.interface.height and file.interface.width:
                return Size(file.interface.height, file.interface.width)
        return None

    def _legal(self, size: Size) -> bool:
        fixed = self._fixed()
        if fixed:
            return size == fixed
        return is_legal(self.facts.network, size) if self.facts else self._within(size)

    def _within(self, size: Size) -> bool:
        """Nothing is known of the geometry: a size outside the profile may well be illegal."""
        return any(profile.serves(size, profile.batch[0]) for profile in self.profiles)

    def _value_range(self) -> tuple[float, float]:
        """What an ONNX file of ours says of itself, else 0 to 1."""
        for file in self._files:
            try:
                low, high = json.loads(file.about["fcnship.value_range"])
                return float(low), float(high)
            except (KeyError, ValueError, TypeError):
                continue
        self.notes.append("images are given values from 0 to 1: no file says its range (--value-range)")
        return 0.0, 1.0

    def _image_batches(self) -> ImageBatches:
        channels = self.interface.channels or next(
            (file.interface.channels for file in self._files if file.interface.channels), None
        )
        if channels is None:
            raise ModelRefused(
                f"{self._files[0].path} does not say how many channels its images have",
                cause="its declared input leaves them open",
                next="name a reference first that says it, like the .keras file",
            )
        self._data = self._loaded()
        seed = self._saved.seed if self._saved else self._request.seed
        span = self.value_range
        if self._data is None or self._data.channels != channels:
            if self._data is not None:
                self.notes.append(
                    f"the images are noise (seed {seed}): those of {self._data.name} have "
                    f"{counted(self._data.channels, 'channel')}, the network takes {channels} (--data)"
                )
            return ImageBatches(channels=channels, value_range=span, seed=seed)
        pictures, old = self._data.x_test, self._data.value_range
        return ImageBatches(
            channels=channels, value_range=span, pictures=pictures, picture_range=old, seed=seed
        )

    def _loaded(self) -> Dataset | None:
        """The data set that was named; what was left out of a folder is told."""
        request = self._request
        if not request.data:
            return None
        data = find_data(request.data, skip_bad=request.skip_bad).load(request.events.progress)
        self.notes += left_out(data)
        return data

    def _pooled_bounds(self) -> Bounds:
        size, fixed = self.profiles[0].opt, self.interface.batch
        batch = fixed or self.affordable(size, self.profiles[0].batch[2])
        return pooled(self._bounds(), self._files[0].runner, self.images, size, min(batch, POOLED_IMAGES))

    def _predictions(self, candidates: Sequence[Runner]) -> dict[str, Prediction]:
        """How far narrow variants may move the outputs, where no tolerance was asked for."""
        if self._request.checks.fixed:
            return {}
        first, fixed = self.profiles[0], self._fixed()
        sizes = [fixed] if fixed else list(dict.fromkeys((first.opt, first.min, first.max)))
        return predictions(self._files, candidates, self.images, sizes, self._multiply_adds)

    def _multiply_adds(self, size: Size) -> int:
        return cost_of(self.facts.network, size).multiply_adds if self.facts else 0

    def _bounds(self) -> Bounds:
        first = self._files[0]
        model = getattr(first.runner, "model", None)
        if model is not None and self.facts is not None and float64_copy(model) is not None:
            return MeasuredBounds(tolerance=Tolerance(model), multiply_adds=self._multiply_adds)
        plain = None
        if isinstance(first.runner, OnnxRunner):
            plain = OnnxRunner(first.runner.variant, first.path, first.layout, plain=True)
        return RepeatedBounds(first.runner, plain)

    def affordable(self, size: Size, batch: int) -> int:
        """As many of the images as fit into a share of the free memory, where the cost is known."""
        if self.facts is None or self._saved or self._request.checks.save_outputs:
            return batch  # the hash of a batch hangs on how many images it has
        each = cost_of(self.facts.network, size).peak_bytes
        return max(1, min(batch, available_bytes() // _SHARE_OF_MEMORY // max(each, 1)))


def _facts(files: Sequence[ModelFileOpened]) -> ModelFacts | None:
    """The facts of the first Keras file; None where there is none, or its geometry is not known."""
    for file in files:
        model = getattr(file.runner, "model", None)
        if model is not None:
            try:
                return facts_of(model)
            except FcnshipError:
                return None
    return None


def _profile(row: Mapping[str, Any]) -> Profile:
    low, opt, high = (Size(*row[edge]) for edge in ("min", "opt", "max"))
    first, middle, last = row["batch"]
    return Profile(low, opt, high, (first, middle, last))
