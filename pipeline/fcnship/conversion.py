"""Converts a model file or a recipe to a fully convolutional model file, with its certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.errors import DataRefused, ParityFailed, UsageError
from fcnship.hashing import sha256_of_file
from fcnship.options import AverageOf, Fit, Head
from fcnship.recipe import ModelFile, Recipe, find_model
from fcnship.wording import counted
from fcnship.workspace import Workspace

if TYPE_CHECKING:
    from fcnship.data import Dataset
    from fcnship.graph.convert import Change, Conversion
    from fcnship.verify.certificate import Certificate

_REAL_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """What became of a conversion.

    ``out`` is None where nothing was written: the model was fully convolutional already, or its certificate
    failed. ``notes`` say what had to be mended in a file of an older Keras, and that a recipe is untrained.
    """

    model: str
    name: str
    out: Path | None
    head: Head
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    parameters: int
    certificate: Certificate | None = None

    @property
    def already_convolutional(self) -> bool:
        """Whether there was nothing to convert."""
        return not self.changes

    def as_json(self) -> dict[str, Any]:
        """The facts as ``fcnship convert --json`` prints them."""
        return {
            "model": self.model,
            "name": self.name,
            "out": str(self.out) if self.out else None,
            "head": self.head,
            "already_convolutional": self.already_convolutional,
            "parameters": self.parameters,
            "changes": [asdict(change) for change in self.changes],
            "notes": list(self.notes),
            "certificate": self.certificate.as_json() if self.certificate else None,
        }


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ``fcnship convert`` was asked for; ``channels`` and ``classes`` are those of a recipe."""

    model: str
    out: Path
    head: Head = "map"
    average_of: AverageOf = "probabilities"
    prove: bool = False
    trust: bool = False
    data: str = ""
    fit: Fit = "bucket"
    skip_bad: bool = False
    value_range: tuple[float, float] | None = None
    channels: int = 1
    classes: int = 10


def convert_to_file(request: Request) -> ConvertedFile:
    """Convert, save, and with ``prove`` hold what was saved against the original before OUT appears.

    Raises:
        UsageError: OUT is not a .keras file, is the input, or cannot be written.
        ModelRefused: the model cannot be read or converted.
        ParityFailed: the certificate failed; the error's ``run`` is the ConvertedFile. OUT is left alone.
    """
    source = find_model(request.model)
    _check_out(request.out, source)
    dataset = _dataset(request)
    from fcnship.data.notes import left_out
    from fcnship.frameworks import import_keras

    import_keras()
    from fcnship.graph.convert import convert_with_record

    original, notes = _opened(source, request)
    conversion = convert_with_record(original, head=request.head, average_of=request.average_of)
    found = ConvertedFile(
        model=request.model,
        name=str(original.name),
        out=None if conversion.already_convolutional else request.out,
        head=request.head,
        changes=conversion.changes,
        notes=(*notes, *(left_out(dataset) if dataset else ())),
        parameters=int(conversion.model.count_params()),
    )
    if conversion.already_convolutional:
        return found
    return _written(request, source, original, conversion, found, dataset)


def _written(
    request: Request,
    source: Recipe | ModelFile,
    original: Any,
    conversion: Conversion,
    found: ConvertedFile,
    dataset: Dataset | None,
) -> ConvertedFile:
    proof = request.out.with_suffix(".certificate.json")
    folder = Workspace(request.out.parent)
    with _writable(request.out), folder.writing(request.out.name) as path:
        conversion.model.save(path)
        digest = ""
        if request.prove:
            certificate = _proved(request, source, original, path, dataset)
            digest = sha256_of_file(path)
            found = ConvertedFile(**{**found.__dict__, "certificate": certificate})
            _refuse_failed(found)
        # A certificate of what lay here before must not stand beside what lies here now.
        proof.unlink(missing_ok=True)
    if found.certificate:
        import json

        record = {**found.certificate.as_json(), "file": request.out.name, "sha256": digest}
        folder.write_text(proof.name, json.dumps(record, indent=1) + "\n")
    return found


def _proved(
    request: Request, source: Recipe | ModelFile, original: Any, path: Path, dataset: Dataset | None
) -> Certificate:
    """The certificate of the file, loaded again: what was saved is what is proved."""
    from fcnship.graph.loading import load_model
    from fcnship.verify.certificate import prove

    span = request.value_range or (source.value_range if isinstance(source, Recipe) else None)
    images = None
    if dataset is not None:
        images, span = _real_images(original, dataset, span)
    saved = load_model(path, trust=request.trust)
    return prove(original, saved, images=images, head=request.head, value_range=span)


def _refuse_failed(found: ConvertedFile) -> None:
    certificate = found.certificate
    if certificate is None or certificate.proved:
        return
    error = ParityFailed(
        f"the converted {found.name!r} is not proved: {certificate.reasons[0]}",
        cause="the two do not compute the same; nothing was written",
        next="fcnship convert --json shows the whole certificate; do not ship this conversion",
    )
    error.run = ConvertedFile(**{**found.__dict__, "out": None})
    raise error


def _opened(source: Recipe | ModelFile, request: Request) -> tuple[Any, tuple[str, ...]]:
    from fcnship.graph.loading import load_model_with_notes

    if isinstance(source, Recipe):
        model = source.build(request.channels, request.classes)
        return model, (f"{source.name} is a recipe: its weights are random, not trained",)
    loaded = load_model_with_notes(source.path, trust=request.trust)
    return loaded.model, loaded.notes


def _dataset(request: Request) -> Dataset | None:
    from fcnship.data import find_data

    if not request.data:
        return None
    if not request.prove:
        raise UsageError(
            "--data is given without --prove",
            cause="images take part in the certificate alone",
            next="add --prove, or leave --data out",
        )
    return replace(find_data(request.data, skip_bad=request.skip_bad).load(), fit=request.fit)


def _real_images(
    original: Any, data: Dataset, span: tuple[float, float] | None
) -> tuple[Any, tuple[float, float]]:
    """Test images at the original's size, in its range and its order of axes; and that range."""
    import numpy as np

    from fcnship.graph.facts import facts_of
    from fcnship.graph.network import network_from_keras
    from fcnship.stages.value_range import measured_value_range

    network = network_from_keras(original)
    if data.channels != network.channels:
        raise DataRefused(
            f"{original.name!r} takes images of {counted(network.channels, 'channel')}, "
            f"those of {data.name} have {data.channels}",
            cause="the model was trained on other data",
            next="name the data that it was trained on: --data, a folder or PATH.npz",
        )
    one_output, first = len(original.outputs) == 1, network.channels_first
    if span is None:
        fits = one_output and not first and data.classes <= network.nodes[network.outputs[0]].channels
        span = measured_value_range(original, facts_of(original), data) if fits else data.value_range
    if network.input_size is None:
        return None, span
    places = range(min(_REAL_IMAGES, len(data.x_test)))
    images = data.at_size(data.x_test, places, network.input_size, span)
    return np.moveaxis(images, -1, 1) if first else images, span


def _check_out(out: Path, source: Recipe | ModelFile) -> None:
    if out.suffix != ".keras" or out.is_dir():
        raise UsageError(
            f"cannot write the converted model to {out}",
            cause="it is a folder" if out.is_dir() else f"its name ends in {out.suffix or 'nothing'}",
            next="name a file that ends in .keras, like -o fcn.keras",
        )
    if out.exists() and out.samefile(source.path):
        raise UsageError(
            f"{out} is the model itself",
            cause="the original is never overwritten: the conversion is proved against it",
            next="name another file with -o",
        )


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror or error}",
            cause="the folder is read-only, the disk is full, or a file stands where a folder should",
            next="name a file in a folder that you may write with -o",
        ) from error
