"""What a network does to sizes, and what one pass costs, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.errors import UsageError
from fcnship.graph.cost import Cost, cost_of
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.graph.propagate import is_legal, output_map
from fcnship.graph.saving import Saving, saving_of
from fcnship.recipe import Recipe, check_counts, find_model
from fcnship.session import recorded_facts
from fcnship.sizes import Profile, Size, profile_serving
from fcnship.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A network's geometry; with a size, the output's map there, its cost and the profile that serves it.

    ``converted`` is the network that ``fcnship convert`` would make, where this one is tied to one size.
    """

    facts: ModelFacts
    profiles: tuple[Profile, ...]
    size: Size | None = None
    output_map: Size | None = None
    profile: Profile | None = None
    cost: Cost | None = None
    converted: ModelFacts | None = None

    def as_json(self) -> dict[str, Any]:
        """The facts as ``fcnship explain --json`` prints them."""
        found = {**self.facts.summary(), "profiles": [profile.as_json() for profile in self.profiles]}
        found["unserved"] = [str(size) for size in self.unserved]
        if self.converted:
            found["converted"] = self.converted.summary()
        if self.size and self.output_map and self.cost:
            found |= {
                "size": [self.size.height, self.size.width],
                "output_map": [self.output_map.height, self.output_map.width],
                "profile": self.profile.as_json() if self.profile else None,
                "multiply_adds": self.cost.multiply_adds,
                "activation_bytes": self.cost.activation_bytes,
                "peak_bytes": self.cost.peak_bytes,
            }
            if self.saving:
                found["saving"] = self.saving.as_json()
        return found

    @property
    def saving(self) -> Saving | None:
        """One pass of the converted network at the size against the original on every crop of it."""
        trained = self.facts.geometry.fixed_size
        if not (self.converted and self.size and trained and trained.within(Size(1, 1), self.size)):
            return None
        return saving_of(self.facts.network, self.converted.network, self.size, trained)

    @property
    def convolutional(self) -> ModelFacts:
        """The network that runs at several sizes: this one, or what it would be converted to."""
        return self.converted or self.facts

    @property
    def unserved(self) -> list[Size]:
        """The edges of the profiles at which the network does not run."""
        edges = {edge for profile in self.profiles for edge in (profile.min, profile.opt, profile.max)}
        return sorted(edge for edge in edges if not is_legal(self.convolutional.network, edge))


def explanation_of(
    model: str, size: Size | None, profiles: Sequence[Profile], channels: int, classes: int
) -> Explanation:
    """Explain a recipe, a saved model or a run folder.

    Raises:
        UsageError: there is no such model.
        ModelRefused: it cannot be read.
        ProfileRefused: the network does not run at ``size``.
    """
    check_counts(channels, classes)
    folder = Path(model)
    if (folder / "run.json").is_file():
        facts, converted = _recorded(folder), None
    else:
        facts, converted = _read(model, channels, classes)
    network = (converted or facts).network
    if size is None:
        return Explanation(facts=facts, profiles=tuple(profiles), converted=converted)
    return Explanation(
        facts=facts,
        profiles=tuple(profiles),
        size=size,
        output_map=output_map(network, size),
        profile=profile_serving(profiles, size),
        cost=cost_of(network, size),
        converted=converted,
    )


def _recorded(folder: Path) -> ModelFacts:
    records = Workspace(folder).records()
    for name in ("convert", "train"):
        if name in records and "network" in records[name].facts:
            return recorded_facts(Workspace(folder), name)
    raise UsageError(
        f"{folder} has no trained model yet", cause="the build was not finished", next="fcnship build"
    )


def _read(model: str, channels: int, classes: int) -> tuple[ModelFacts, ModelFacts | None]:
    from fcnship.frameworks import import_keras
    from fcnship.graph.convert import convert
    from fcnship.graph.loading import load_model

    source = find_model(model)
    import_keras()
    network = source.build(channels, classes) if isinstance(source, Recipe) else load_model(source.path)
    facts = facts_of(network)
    if isinstance(source, Recipe):
        facts = facts.labelled((), source.value_range)
    if facts.geometry.input_size is None:
        return facts, None
    return facts, facts_of(convert(network)).labelled((), facts.value_range)
