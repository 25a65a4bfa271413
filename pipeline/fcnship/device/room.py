"""Whether a drop can live on this device at all: legal profiles, room on the disk, room in memory."""

from __future__ import annotations

from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.errors import EnvironmentLacks, ProfileRefused
from fcnship.sizes import Size


def check_profiles(manifest: Manifest) -> None:
    """Each profile starts at the network's minimum size or above.

    TensorRT itself builds an engine whose smallest images make an empty map, and says nothing.

    Raises:
        ProfileRefused: one does not.
    """
    minimum = manifest.network.minimum_size
    for profile in manifest.profiles:
        if not minimum.within(Size(1, 1), profile.min):
            raise ProfileRefused(
                f"the profile {profile} starts at {profile.min}, {manifest.name} needs at least {minimum}",
                cause="below that the network makes an empty map",
                next=f"make a drop whose profiles start at {minimum} or more",
            )


def check_room(manifest: Manifest, device: Probe, *, there_already: bool = False) -> None:
    """The disk holds the release and its engine, the memory one inference.

    ``there_already``: the release is on the disk, so that nothing of it is copied.

    Raises:
        EnvironmentLacks: there is too little of one.
    """
    needed = 0 if there_already else max(manifest.requires.disk_bytes, manifest.size_bytes)
    if needed > device.disk_bytes:
        raise EnvironmentLacks(
            f"the drop needs {_mb(needed)} of disk, {_mb(device.disk_bytes)} are free",
            cause="the disk of --root is too small or too full for the release and its engine",
            next="fcnship-device gc, or name another disk with --root",
        )
    memory = manifest.requires.memory_bytes
    if memory > device.memory_bytes:
        raise EnvironmentLacks(
            f"the drop needs {_mb(memory)} of memory, {_mb(device.memory_bytes)} are free",
            cause="the device is too small for its largest images, or other programs hold the memory",
            next="stop other programs, or make a drop with a smaller maximum or batch",
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
