"""The commands that ship, from Python. Imports stay light: what a command needs is imported when called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fcnship.events import Events
    from fcnship.ship.deploy import Deployment
    from fcnship.ship.drop import Drop
    from fcnship.ship.hosts import AddedDevice, HostKey

Backend = Literal["auto", "tensorrt", "onnxruntime"]


def drop(
    run: str | Path,
    out: str | Path,
    *,
    sign: str | Path | None = None,
    version: str = "",
    live: str = "",
    events: Events | None = None,
) -> Drop:
    """Pack a run that passed for devices: a folder, or a file where ``out`` ends in .tar or .tar.gz.

    ``sign`` is a private key of OpenSSH, ``version`` the day of the run's report unless given, ``live`` the
    precision that an install makes live: FP32 unless given. An older drop at ``out`` is replaced whole,
    anything else is left alone. The same run gives the same bytes.

    Raises:
        UsageError: the run is not built or out of date; ``out``, the key or the version cannot be used.
        ParityFailed, AccuracyBelowFloor, LatencyExceeded: as the run's report says.
        EnvironmentLacks: ssh-keygen is missing.
        ArtifactError: a file of the run is damaged.
    """
    from fcnship.events import Silence
    from fcnship.ship.drop import Request, make_drop

    request = Request(
        run=Path(run), out=Path(out), sign=Path(sign) if sign else None, version=version, live=live
    )
    return make_drop(request, events or Silence())


def deploy(
    drop: str | Path,
    host: str,
    *,
    port: int | None = None,
    root: str = "/data/fcnship",
    backend: Backend = "auto",
    precision: str = "",
    bench: bool = True,
    dry_run: bool = False,
    run: str | Path | None = None,
    events: Events | None = None,
) -> Deployment:
    """Bring a drop to ``user@host`` by ssh, and have it verified, proved and made live there.

    What is there already is not sent again. What the device measures goes into the report of the run that the
    drop was made of: ``run``, or artifacts/NAME if it is that one. ``dry_run`` changes nothing anywhere.

    Raises:
        UsageError: the drop, the host, the root or the run is none.
        DeviceError: the device cannot be reached, is not a known host, or does not let us in.
        FcnshipError: what the device's own command failed with; ``run`` of it is the Deployment.
    """
    from fcnship.events import Silence
    from fcnship.ship.deploy import Request
    from fcnship.ship.deploy import deploy as deployed

    return deployed(
        Request(
            drop=Path(drop),
            host=host,
            port=port,
            root=root,
            backend=backend,
            precision=precision,
            bench=bench,
            dry_run=dry_run,
            run=Path(run) if run else None,
            events=events or Silence(),
        )
    )


def device_add(
    host: str,
    *,
    port: int | None = None,
    fingerprint: str = "",
    accepts: Callable[[str, HostKey], bool] | None = None,
) -> AddedDevice:
    """Add a device's host key to the user's known_hosts, if ``fingerprint`` is its own or ``accepts`` agrees.

    ``accepts`` gets the host and the key that it shows. With neither, only a known host passes.

    Raises:
        DeviceError: it does not answer, shows another key than before, or nobody vouched for it.
    """
    from fcnship.ship.hosts import add_device

    return add_device(host, port, fingerprint, accepts or (lambda host, key: False))
