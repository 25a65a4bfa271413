"""Engines with a wrong profile: built ones where TensorRT can build, and what such an engine would answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.graph.propagate import is_legal
from fcnship.runners import Runner, Unrunnable
from fcnship.session import Session
from fcnship.sizes import Profile, Size
from fcnship.stages.engine import Engine, chosen_flavour
from fcnship.verify.outputs_file import Recorder
from fcnship.verify.selftest.faults import NoPlace
from fcnship.verify.selftest.specimen import Specimen
from fcnship.verify.sweep import answer_of
from fcnship.workspace import StageRecord

Array = np.ndarray[Any, Any]
VARIANT = "engine-fp32"


def widened(profile: Profile) -> Profile:
    """The profile, one pixel larger than it should be."""
    largest = Size(profile.max.height + 1, profile.max.width + 1)
    return replace(profile, max=largest)


def narrowed(profile: Profile) -> Profile:
    """The profile, one pixel smaller than it should be.

    Raises:
        NoPlace: it has one size alone.
    """
    height, width = profile.max.height - 1, profile.max.width - 1
    if not profile.min.within(Size(1, 1), Size(max(height, 1), max(width, 1))):
        raise NoPlace("its profile has one size alone")
    largest = Size(height, width)
    opt = Size(min(profile.opt.height, height), min(profile.opt.width, width))
    return replace(profile, opt=opt, max=largest)


def with_last(profiles: Sequence[Profile], changed: Profile) -> tuple[Profile, ...]:
    """The profiles with the last replaced."""
    return (*profiles[:-1], changed)


def put_engine(specimen: Specimen, profiles: tuple[Profile, ...]) -> None:
    """Build an engine with other profiles into a copy, and record it as if it were the run's own.

    Raises:
        NoPlace: no TensorRT can build here.
    """
    own = specimen.session.options
    asked = replace(
        own,
        profiles=profiles,
        precisions=("fp32",),
        io="fp32",
        calibration="default",
        int8_budget=None,
        keep_fp32=(),
    )
    session = Session(asked)
    if chosen_flavour(session) is None:
        raise NoPlace("no TensorRT can build an engine here")
    made, workspace = Engine().run(session), session.workspace
    record = StageRecord(
        name="engine", status="done", seconds=0.0, artifacts=workspace.artifacts(*made.files)
    )
    workspace.write_record(record, own.as_json())


class BehindProfiles:
    """What an engine with these profiles would answer: ONNX Runtime, where one of them serves the images."""

    def __init__(self, runner: Runner, profiles: Sequence[Profile]) -> None:
        self.variant, self._runner, self._profiles = VARIANT, runner, profiles
        self.infer, self.finish, self.close = runner.infer, runner.finish, runner.close

    def prepare(self, images: Array) -> Any:
        """As ONNX Runtime takes them.

        Raises:
            Unrunnable: no profile serves them.
        """
        batch, height, width, _ = images.shape
        if not any(profile.serves(Size(height, width), batch) for profile in self._profiles):
            raise Unrunnable("no profile of the engine serves it")
        return self._runner.prepare(images)


def saved_outputs(specimen: Specimen, profiles: Sequence[Profile], seed: int, path: Path) -> Path:
    """Write the outputs that ``--save-outputs`` keeps where an engine has these profiles; gives ``path``."""
    runner = BehindProfiles(specimen.onnx_runner(), profiles)
    images = specimen.images(seed)
    recorder = Recorder(images, specimen.session.options.data, specimen.session.profiles)
    for size, batch in _edges(specimen):
        drawn = images(size, batch)
        recorder(size, batch, drawn, {VARIANT: answer_of(runner, drawn)})
    runner.close()
    recorder.write(path, {VARIANT: ""})
    return path


def _edges(specimen: Specimen) -> list[tuple[Size, int]]:
    """Each profile's smallest and largest size, and those one pixel beyond that the network can run at."""
    network, found = specimen.session.facts.network, set()
    for profile in specimen.session.profiles:
        low, high = profile.min, profile.max
        beyond = [Size(high.height + down, high.width + across) for down, across in ((1, 1), (1, 0), (0, 1))]
        if min(low.height, low.width) > 1:
            beyond.append(Size(low.height - 1, low.width - 1))
        found |= {(size, profile.batch[0]) for size in (low, high, *beyond) if is_legal(network, size)}
        found.add((low, profile.batch[2]))
    return sorted(found)
