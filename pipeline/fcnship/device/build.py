"""Builds one TensorRT engine in a process of its own: ``python -m fcnship.device.build REQUEST.json``.

TensorRT reports failure through its logger, and some of its failures end the process; the caller reads both.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fcnship.device.timing_cache import load_timing_cache, save_timing_cache

# 7.5 (Turing) cannot share an engine with later ones: it lacks FP32 matrix products.
_OLDEST_PORTABLE = 80
_PR_SET_PDEATHSIG = 1  # sys/prctl.h
REFUSED, _ORPHAN, UNWRITTEN = 3, 4, 5


class EngineRefused(Exception):
    """TensorRT did not make an engine; its logger has said why."""


def build(
    onnx: Path,
    flavour: str,
    profiles: list[dict[str, Any]],
    input_name: str,
    *,
    target: str = "any",
    timing_cache: Path | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """The plan of a strongly typed engine with one optimisation profile for each of ``profiles``, and facts.

    A profile has ``min``, ``opt`` and ``max``, each a whole input shape. TF32 is off: FP32 means FP32.
    ``target``: ``this GPU``, or ``any`` GPU that TensorRT-RTX can build one engine for. Full TensorRT always
    builds for this one, and reads and writes ``timing_cache``.

    Raises:
        EngineRefused: a step failed without an exception.
    """
    from polygraphy.backend.trt import engine_bytes_from_network, network_from_onnx_path  # pyright: ignore[reportAttributeAccessIssue]

    trt = _tensorrt(flavour)
    builder, network, parser = network_from_onnx_path(str(onnx), strongly_typed=True)
    _check_inputs(network, input_name)
    config, targets = _config(flavour, trt, builder, network, _profiles(profiles, input_name), target)
    if config.num_optimization_profiles != len(profiles):
        raise EngineRefused(f"{config.num_optimization_profiles} of {len(profiles)} profiles were accepted")
    if not builder.is_network_supported(network, config):
        raise EngineRefused("the builder says that it does not support this network with these profiles")
    cache = timing_cache if flavour == "tensorrt" else None
    timing = load_timing_cache(config, cache) if cache else "none"
    plan = engine_bytes_from_network((builder, network, parser), config=config)
    if cache:
        save_timing_cache(config, cache)
    facts = {"version": trt.__version__, "targets": targets, "layers": network.num_layers, "tf32": False}
    return bytes(plan), {**facts, "products": products_of(network, trt), "timing_cache": timing}


def products_of(network: Any, trt: Any) -> dict[str, str]:
    """For each convolution and matrix product of a network, by its name, what it computes in.

    A strongly typed network is built as its types say. ``int8``: both factors come out of a dequantization;
    else the type of the result: ``fp32``, ``fp16``, ``bf16`` or TensorRT's own word.
    """
    kinds = trt.LayerType
    wanted = (kinds.CONVOLUTION, kinds.DECONVOLUTION, kinds.MATRIX_MULTIPLY)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    maker = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    words = {trt.float32: "fp32", trt.float16: "fp16", trt.bfloat16: "bf16"}
    found = {}
    for layer in layers:
        if layer.type in wanted:
            kind = layer.get_output(0).dtype
            factors = [layer.get_input(i) for i in range(min(layer.num_inputs, 2))]
            quantized = len(factors) == 2 and all(_is_dequantized(f, maker, kinds) for f in factors)
            found[layer.name] = "int8" if quantized else words.get(kind, str(kind))
    return found


def _is_dequantized(tensor: Any, maker: dict[str, Any], kinds: Any) -> bool:
    layer = maker.get(tensor.name) if tensor is not None else None
    while layer is not None and layer.type == kinds.SHUFFLE:
        layer = maker.get(layer.get_input(0).name)
    return layer is not None and layer.type == kinds.DEQUANTIZE


def _tensorrt(flavour: str) -> Any:
    if flavour == "tensorrt_rtx":
        import tensorrt_rtx as trt
    else:
        import tensorrt as trt
    return trt


def _check_inputs(network: Any, input_name: str) -> None:
    names = [network.get_input(i).name for i in range(network.num_inputs)]
    if names != [input_name]:
        raise EngineRefused(f"the network's inputs are {names}, not [{input_name!r}]")


def _profiles(profiles: list[dict[str, Any]], input_name: str) -> list[Any]:
    from polygraphy.backend.trt import Profile  # pyright: ignore[reportAttributeAccessIssue]

    shapes = [{edge: tuple(profile[edge]) for edge in ("min", "opt", "max")} for profile in profiles]
    return [Profile().add(input_name, **shape) for shape in shapes]


def _config(
    flavour: str, trt: Any, builder: Any, network: Any, profiles: list[Any], target: str
) -> tuple[Any, list[str]]:
    from polygraphy.backend.trt import CreateConfig  # pyright: ignore[reportAttributeAccessIssue]

    named = ["the GPU of this machine"]
    if flavour == "tensorrt_rtx":
        from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

        if target == "this GPU":
            config = CreateConfigRTX(profiles=profiles, use_gpu=True)(builder, network)
        else:
            targets = _portable_targets(trt)
            config = CreateConfigRTX(profiles=profiles, compute_capabilities=targets)(builder, network)
            named = [f"{major}.{minor}" for major, minor in targets]
    else:
        config = CreateConfig(profiles=profiles)(builder, network)
    config.clear_flag(trt.BuilderFlag.TF32)
    return config, named


def _portable_targets(trt: Any) -> list[tuple[int, int]]:
    numbers = [
        int(name[2:]) for name in dir(trt.ComputeCapability) if name[:2] == "SM" and name[2:].isdigit()
    ]
    return sorted(divmod(number, 10) for number in numbers if number >= _OLDEST_PORTABLE)


def main() -> int:
    """Read the request, write the plan and the facts. 3: TensorRT refused. 5: a file could not be written."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _end_with(request.get("parent"))
    # Read once, when polygraphy is imported; what the user's own environment says of it does not count.
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if request["flavour"] == "tensorrt_rtx" else "0"
    from polygraphy.exception import PolygraphyException

    cache = request.get("timing_cache")
    try:
        plan, facts = build(
            Path(request["onnx"]),
            request["flavour"],
            request["profiles"],
            request["input"],
            target=request.get("target", "any"),
            timing_cache=Path(cache) if cache else None,
        )
        Path(request["engine"]).write_bytes(plan)
        Path(request["facts"]).write_text(json.dumps(facts), encoding="utf-8")
    except (EngineRefused, PolygraphyException) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"[E] {error}", file=sys.stderr)
        return UNWRITTEN
    return 0


def _end_with(parent: int | None) -> None:
    """End when the process that asked ends: nobody waits for a plan whose installer was killed."""
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it had ended before
        sys.exit(_ORPHAN)


if __name__ == "__main__":
    sys.exit(main())
