"""The faults of the self-test in the order of the table, each with the gate that has to catch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcnship.sizes import Profile
from fcnship.verify.selftest import faults, gates, profile_faults
from fcnship.verify.selftest.faults import Inject, NoPlace
from fcnship.verify.selftest.outcome import Found, Gate
from fcnship.verify.selftest.specimen import ONNX, Specimen, narrowed_file

SLOWDOWN = 0.03
_SECONDS = (3.0, 6.0, 12.0)


class Undecided(Exception):
    """The machine is too noisy for a gate to see the fault; the text says how noisy."""


Ask = Callable[[Specimen, Path], "Found | None"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault: ``inject`` changes the FP32 ONNX file and parity has to see it, or ``ask`` does it all.

    ``ask`` is given a specimen and an empty folder; it puts the fault into a copy there, and gives what the
    gate found. It raises ``NoPlace`` where the network has nothing to put it into.
    """

    name: str
    gate: Gate
    inject: Inject | None = None
    ask: Ask | None = None


def faulty_file(specimen: Specimen, inject: Inject, path: Path) -> Path:
    """Write the FP32 ONNX file with a fault to ``path``; it is as valid as the sound one.

    Raises:
        NoPlace: the network has no place for it.
    """
    import onnx

    model = specimen.onnx_model()
    inject(model, specimen.setting)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def too_wide(specimen: Specimen, folder: Path) -> Found | None:
    """An engine accepts one pixel more than the profile says."""
    profiles = specimen.session.profiles
    wrong = profile_faults.with_last(profiles, profile_faults.widened(profiles[-1]))
    return gates.refusal(_answered(specimen, wrong, folder).refusals)


def too_narrow(specimen: Specimen, folder: Path) -> Found | None:
    """An engine does not take the largest size that its profile says."""
    profiles = specimen.session.profiles
    wrong = profile_faults.with_last(profiles, profile_faults.narrowed(profiles[-1]))
    found = _answered(specimen, wrong, folder)
    return gates.parity([row for row in found.report["parity"] if row["variant"] == profile_faults.VARIANT])


def other_build(specimen: Specimen, folder: Path) -> Found | None:
    """An engine was built with another profile, and its hash recorded."""
    copy, profiles = specimen.fresh_copy(folder), specimen.session.profiles
    wrong = profile_faults.with_last(profiles, profile_faults.widened(profiles[-1]))
    profile_faults.put_engine(copy, wrong)
    assert gates.damage(copy) is None
    return gates.engine(copy)


def fp32_named_fp16(specimen: Specimen, folder: Path) -> Found | None:
    """The FP32 file stands in the FP16 file's place."""
    path = folder / "fp16.onnx"
    path.write_bytes(specimen.path(ONNX).read_bytes())
    return gates.precision(path, "fp16")


def one_fp32_layer(specimen: Specimen, folder: Path) -> Found | None:
    """The last layer of an FP16 file computes in FP32, and nobody asked for that."""
    from fcnship.precision.truth import products_of

    layers = [product.layer for product in products_of(specimen.onnx_model())]
    if len(set(layers)) < 2:
        raise NoPlace("it has one layer with weights")
    return gates.precision(narrowed_file(specimen, folder / "fp16.onnx", keep=layers[-1:]), "fp16")


def exchanged_classes(specimen: Specimen, folder: Path) -> Found | None:
    """The most frequent class and another have each other's scores."""
    path = faulty_file(specimen, faults.exchanged_classes, folder / "exchanged.onnx")
    return gates.accuracy(specimen, specimen.onnx_runner(path))


def slower(specimen: Specimen, folder: Path) -> Found | None:
    """A copy takes 3 % longer. What is not seen in a short time is measured again in a longer.

    Raises:
        Undecided: the machine is too noisy to the end.
    """
    for turn, seconds in enumerate(_SECONDS):
        timing = gates.latency(specimen, SLOWDOWN, turn, seconds)
        if timing.found:
            return timing.found
        if seconds == _SECONDS[-1] and (timing.undecided or timing.smallest_effect > SLOWDOWN):
            told = f"this machine shows no less than {timing.smallest_effect:.0%} now"
            raise Undecided(f"{timing.interval}; {told}: run it again when it is quiet")
    return None


def flipped_byte(specimen: Specimen, folder: Path) -> Found | None:
    """One bit of the ONNX file has changed since it was built."""
    copy = specimen.fresh_copy(folder)
    path = copy.path(ONNX)
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)
    return gates.damage(copy)


def _answered(specimen: Specimen, profiles: Sequence[Profile], folder: Path) -> gates.Compared:
    outputs = profile_faults.saved_outputs(specimen, profiles, 0, folder / "outputs.npz")
    return gates.compared(specimen, [], 0, outputs)


def _graph(name: str, inject: Inject) -> Fault:
    return Fault(name=name, gate="parity", inject=inject)


FAULTS: tuple[Fault, ...] = (
    _graph("transposed kernel", faults.transposed_kernel),
    _graph("swapped channel order", faults.swapped_channels),
    _graph("off-by-one pad", faults.pad_off_by_one),
    _graph("dropped bias", faults.dropped_bias),
    _graph("scale off by two", faults.scale_off_by_two),
    Fault(name="profile too wide", gate="refusal", ask=too_wide),
    Fault(name="profile too narrow", gate="parity", ask=too_narrow),
    Fault(name="engine for other sizes", gate="engine", ask=other_build),
    Fault(name="FP32 named fp16", gate="precision", ask=fp32_named_fp16),
    Fault(name="one FP32 layer in fp16", gate="precision", ask=one_fp32_layer),
    _graph("only at remainder 3", faults.at_remainder_3),
    _graph("only in one batch row", faults.in_one_batch_row),
    _graph("NaN at one pixel", faults.nan_at_one_pixel),
    Fault(name="two classes exchanged", gate="accuracy", ask=exchanged_classes),
    Fault(name="3 % slower", gate="latency", ask=slower),
    Fault(name="one bit flipped", gate="hash", ask=flipped_byte),
)
