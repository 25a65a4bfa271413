"""The commands that look at the device and run networks: probe, build, bench, run."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Any

from fcnship.device.arguments import add_command, add_drop, add_root, add_signers, path
from fcnship.device.output import say


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    for add in (_add_probe, _add_build, _add_bench, _add_run):
        add(commands)


def _add_probe(commands: Any) -> None:
    add_root(add_command(commands, "probe", _probe, "Say what this device is: board, GPU, TensorRT, memory."))


def _probe(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.probe import probe

    device = probe(arguments.root)
    named = device.board or device.machine
    jetpack = f", JetPack {device.jetpack or 'unknown'} (L4T {device.l4t})" if device.l4t else ""
    flavour = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}.get(device.tensorrt_flavour or "")
    runtimes = [f"{flavour} {device.tensorrt}"] if flavour else []
    runtimes += [f"ONNX Runtime {device.onnxruntime}"] if device.onnxruntime else []
    gpu = f"{device.gpu} ({device.compute_capability})" if device.gpu else f"no GPU: {device.gpu_fault}"
    say(f"{named}{jetpack}; {gpu}; {', '.join(runtimes) or 'neither TensorRT nor ONNX Runtime'}")
    return {"probe": device.as_json()}


def _add_build(commands: Any) -> None:
    text = "Build a drop's TensorRT engine now, so that install finds it; nothing goes live."
    parser = add_command(commands, "build", _build, text)
    add_drop(parser)
    add_root(parser)
    add_signers(parser)
    parser.add_argument("--precision", help="fp32, fp16 or int8 (default: what the drop says)")


def _build(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.ahead import build_ahead
    from fcnship.device.probe import probe

    device = probe(arguments.root)
    facts = build_ahead(
        arguments.drop,
        arguments.root,
        device,
        precision=arguments.precision,
        allowed_signers=arguments.allowed_signers,
        say=say,
    )
    say(f"{facts['engine']['folder']} is ready")
    return {**facts, "probe": device.as_json()}


def _add_bench(commands: Any) -> None:
    text = "Time the live release at each golden size; record power mode, clocks and temperatures."
    parser = add_command(commands, "bench", _bench, text)
    add_root(parser)
    parser.add_argument(
        "--seconds", type=_seconds, default=1.0, help="time for each size (default: %(default)s)"
    )
    parser.add_argument(
        "--lock-clocks", action="store_true", help="hold the clocks at their maximum meanwhile (Jetson, root)"
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise ArgumentTypeError(f"{text!r} is not between 0 and 3600 seconds")
    return value


def _bench(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.bench import bench
    from fcnship.device.live import live_release
    from fcnship.device.probe import probe

    device = probe(arguments.root)
    live = live_release(arguments.root, device)
    facts = bench(live, seconds=arguments.seconds, lock_clocks=arguments.lock_clocks, say=say)
    return {
        "release": live.manifest.sha256,
        "name": live.manifest.name,
        "version": live.manifest.version,
        "backend": live.record.backend,
        "precision": live.record.precision,
        **facts,
        "probe": device.as_json(),
    }


def _add_run(commands: Any) -> None:
    parser = add_command(commands, "run", _run, "Classify an image, or the array `image` of an .npz.")
    parser.add_argument("image", metavar="IMAGE|NPZ", type=path, help=".png, .jpg, .pgm, .ppm, .npz or .npy")
    add_root(parser)


def _run(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.inference import classify
    from fcnship.device.live import live_release
    from fcnship.device.probe import probe

    facts = classify(live_release(arguments.root, probe(arguments.root)), arguments.image)
    for image in facts["images"]:
        say(f"{arguments.image}: {image['top']['label']} ({image['top']['score']:.4f})")
    return facts
