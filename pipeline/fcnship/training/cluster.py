"""The machines of ``TF_CONFIG``, checked before TensorFlow sees them."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcnship.errors import UsageError

VARIABLE = "TF_CONFIG"
_TRAINING = ("chief", "worker")
_PROBE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Machines that train together: addresses ``host:port``, the chief's first, and this one's place."""

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this one writes the run folder."""
        return self.index == 0

    @property
    def told(self) -> str:
        """The other machines, in words."""
        return ", ".join(self._others())

    def _others(self) -> list[str]:
        return [address for place, address in enumerate(self.addresses) if place != self.index]

    def not_answering(self) -> list[str]:
        """The other workers at whose address nobody listens, in words."""
        return [
            f"worker {place} ({address})"
            for place, address in enumerate(self.addresses)
            if place != self.index and not _answers(address)
        ]


def parts_of(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _answers(address: str) -> bool:
    try:
        socket.create_connection(parts_of(address), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def cluster_of(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster that ``TF_CONFIG`` describes; None where there is none, or only this machine.

    Raises:
        UsageError: it is no JSON, lacks something, or names tasks that do not train.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise _wrong(f"is {text[:60]}, not an object")
    if not config.get("cluster"):
        return None
    return _cluster(_jobs(config["cluster"]), config.get("task"))


def _cluster(jobs: dict[str, list[str]], task: Any) -> Cluster | None:
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _wrong("lacks task, or type or index in it")
    kind, index = task["type"], task["index"]
    if kind not in jobs:
        raise _wrong(f"has the task type {kind!r}, which its cluster does not have")
    if not str(index).isdecimal() or isinstance(index, bool):
        raise _wrong(f"has the task index {index!r}, not a whole number")
    if int(index) >= len(jobs[kind]):
        raise _wrong(f"has the task index {index}, and only {len(jobs[kind])} of type {kind}, counted from 0")
    addresses = [address for job in _TRAINING for address in jobs.get(job, [])]
    if len(set(addresses)) != len(addresses):
        raise _wrong("names the same address twice")
    if len(addresses) == 1:
        return None
    before = len(jobs.get("chief", [])) if kind == "worker" else 0
    return Cluster(addresses=tuple(addresses), index=before + int(index))


def _jobs(cluster: Any) -> dict[str, list[str]]:
    if not isinstance(cluster, dict):
        raise _wrong("has a cluster that is no object")
    for job, addresses in cluster.items():
        if job not in _TRAINING:
            raise _wrong(f"has the task type {job!r}: fcnship trains on {' and '.join(_TRAINING)} alone")
        if not isinstance(addresses, list) or not addresses:
            raise _wrong(f"has no list of addresses for {job}")
        for address in addresses:
            _check_address(address)
    if len(cluster.get("chief", [])) > 1:
        raise _wrong("has more than one chief")
    return dict(cluster)


def _check_address(address: Any) -> None:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise _wrong(f"has the address {address!r}, which is not HOST:PORT")


def _wrong(what: str) -> UsageError:
    return UsageError(
        f"{VARIABLE} {what}",
        cause="the environment describes a training on several machines, and not rightly",
        next='write it like {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}, or unset it to train on this machine alone',
    )
