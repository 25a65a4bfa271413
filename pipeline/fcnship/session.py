"""One run in one process: its options, its folder, and what is loaded once and shared by stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fcnship.data import Dataset, Source, find_data
from fcnship.data.notes import notes_on
from fcnship.errors import ArtifactError
from fcnship.events import Events, Silence
from fcnship.graph.facts import ModelFacts
from fcnship.options import Options, check_name
from fcnship.recipe import ModelFile, Recipe, find_model
from fcnship.sizes import Profile
from fcnship.workspace import StageRecord, Workspace


@dataclass
class Session:
    """Stages get everything from here, and keep nothing between them but their records."""

    options: Options
    events: Events = field(default_factory=Silence)

    @cached_property
    def source(self) -> Recipe | ModelFile:
        """The recipe or the saved model that MODEL names."""
        return find_model(self.options.model)

    @cached_property
    def data_source(self) -> Source:
        """The data set that ``--data`` names."""
        return find_data(self.options.data, skip_bad=self.options.skip_bad)

    @cached_property
    def data_fingerprint(self) -> str:
        """The data set's hash."""
        return self.data_source.fingerprint()

    @cached_property
    def data(self) -> Dataset:
        """The loaded data set."""
        data = replace(self.data_source.load(self.events.progress), fit=self.options.fit)
        for line in notes_on(data, self.profiles):
            self.events.say(line)
        return data

    @property
    def data_inputs(self) -> dict[str, str]:
        """What a stage that uses images depends on: the data, and how they are read if that was asked."""
        fit = {} if self.options.fit == "bucket" else {"fit": self.options.fit}
        bad = {"bad images": "skipped"} if self.options.skip_bad else {}
        return {"data": self.data_fingerprint, **fit, **bad}

    @cached_property
    def workspace(self) -> Workspace:
        """The run's folder."""
        name = self.options.name or self.source.name
        check_name(name)
        return Workspace(self.options.out / name)

    @cached_property
    def baseline(self) -> dict[str, Any] | None:
        """The earlier report that ``--baseline`` names, read before this run writes over it."""
        from fcnship.reports.json_report import report_at

        return report_at(self.options.baseline) if self.options.baseline else None

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles asked for."""
        return self.options.profiles

    def record(self, stage: str) -> StageRecord:
        """The record of a stage that has been done."""
        return self.workspace.records()[stage]

    def write_record(self, record: StageRecord) -> None:
        """Keep a stage's record."""
        self.workspace.write_record(record, self.options.as_json())

    @property
    def converted(self) -> bool:
        """Whether the original had to be made fully convolutional."""
        record = self.workspace.records().get("convert")
        return record is not None and record.status == "done"

    @property
    def facts(self) -> ModelFacts:
        """What is known of the fully convolutional network."""
        return recorded_facts(self.workspace, "convert" if self.converted else "train")

    @property
    def network_path(self) -> str:
        """The fully convolutional Keras model, as a path inside the run folder."""
        return "keras/converted.keras" if self.converted else "keras/model.keras"

    @property
    def network_file(self) -> Path:
        """The fully convolutional Keras model."""
        return self.workspace.path(self.network_path)

    @property
    def network_sha256(self) -> str:
        """The hash of that file."""
        return self.record("convert" if self.converted else "train").sha256_of(self.network_path)


def recorded_facts(workspace: Workspace, stage: str) -> ModelFacts:
    """What a stage found out about its network.

    Raises:
        ArtifactError: its record does not hold it.
    """
    try:
        return ModelFacts.from_json(workspace.records()[stage].facts)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{workspace.path('run.json')} is damaged: it does not describe the network of the stage {stage}",
            cause=f"it was edited or written by another program ({type(error).__name__}: {error})",
            next="remove the file and build again",
        ) from None
