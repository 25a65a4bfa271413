"""README.md of a drop, for the person with the device: what it is, how to check, install and undo it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from fcnship.reports.figures import bytes_text

_SIGNED = """\
The manifest is signed, and it holds the hash of every other file. Take the maker's public key from somewhere
that you trust, not from here. Write `maker` and that key on one line of a file `~/allowed_signers` (in this
folder it would be a file too many, which is refused), and ask:

    ssh-keygen -Y verify -f ~/allowed_signers -I maker -n fcnship-drop -s manifest.json.sig < manifest.json

With that file as `/data/fcnship/allowed_signers`, nothing unsigned is installed on the device any more.
"""
_UNSIGNED = """\
It is not signed. Whether it is whole can be checked, who made it cannot.
"""


def readme_text(facts: Mapping[str, Any], *, signed: bool) -> str:
    """The text. ``facts`` is the manifest but for its files."""
    network, requires = facts["network"], facts["requires"]
    shape = "(batch, {0}, height, width)" if network["layout"] == "nchw" else "(batch, height, width, {0})"
    low, high = network["value_range"]
    named = {
        "title": f"{facts['name']} {facts['version']}",
        "shape": shape.format(network["channels"]),
        "low": f"{low:g}",
        "high": f"{high:g}",
        "sizes": "; ".join(_sizes(profile) for profile in facts["profiles"]),
        "precisions": ", ".join(f"`{row['precision']}`" for row in facts["variants"]),
        "architectures": " or ".join(requires["architectures"]),
        "disk": bytes_text(requires["disk_bytes"]),
        "memory": bytes_text(requires["memory_bytes"]),
        "least": requires["tensorrt"]["least"],
        "below": requires["tensorrt"]["below"],
        "capability": requires["compute_capability"]["least"],
        "signing": _SIGNED if signed else _UNSIGNED,
        **{key: facts[key] for key in ("name", "fcnship", "created", "live")},
        **{key: network[key] for key in ("input", "output", "classes")},
    }
    text = resources.files("fcnship.ship").joinpath("readme.md.in").read_text(encoding="utf-8")
    return Template(text).substitute(named)


def _sizes(profile: Mapping[str, Any]) -> str:
    low, high = ("x".join(map(str, profile[edge])) for edge in ("min", "max"))
    return f"{low} to {high}, {profile['batch'][0]} to {profile['batch'][2]} images at once"
