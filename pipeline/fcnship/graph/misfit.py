"""Why a file's weights do not fit the layers that it describes, in words that help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.graph.model_file import objects_in

# Keras 3's saving_lib names the layers without weights like this, after a first line that only counts them.
_WITHOUT_WEIGHTS = re.compile(r"^Layer '(.+?)' expected (.+), but received 0 variables", re.MULTILINE)


def weights_do_not_fit(path: Path, config: Any, error: Exception) -> ModelRefused:
    """The refusal of a file whose layers can be built and not filled, from what Keras said of it."""
    empty = _WITHOUT_WEIGHTS.search(str(error))
    shared = _at_two_places(config, empty[1]) if empty else ""
    if empty and shared:
        return ModelRefused(
            f"{path} has no weights for layer {empty[1]!r} at one of its places",
            cause=f"{shared} is used in two models that lie within this one, and Keras 3 writes the weights "
            "of what is shared so at one of the places alone: it cannot load the file either",
            next="where the model was made, save it with model.save('model.h5'), which has them at both",
        )
    return ModelRefused(
        f"the weights in {path} do not fit its layers",
        cause=empty[0] if empty else _first_line(error),
        next="save the model again from the code that trained it",
    )


def _at_two_places(config: Any, layer: str) -> str:
    """The outermost object that is described twice, word for word, and is or holds the layer; else ''."""
    seen: list[dict[str, Any]] = []
    for item in objects_in(config):
        about = item.get("config")
        if not isinstance(about, dict) or "name" not in about:
            continue
        held = [part["config"]["name"] for part in objects_in(item) if "name" in (part.get("config") or {})]
        plain = _without_ids(about)
        if layer in held and plain in seen:
            return f"{item['class_name']} {about['name']!r}"
        seen.append(plain)
    return ""


def _without_ids(config: Any) -> Any:
    """Keras marks what it describes for the second time, and only that."""
    if isinstance(config, dict):
        return {key: _without_ids(part) for key, part in config.items() if key != "shared_object_id"}
    return [_without_ids(part) for part in config] if isinstance(config, list) else config


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
