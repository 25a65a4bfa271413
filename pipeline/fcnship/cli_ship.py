"""The words of the commands that ship: parse, call, print. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fcnship import api_ship
from fcnship.errors import FcnshipError

if TYPE_CHECKING:
    from fcnship.ship.hosts import HostKey

DROP_EXAMPLE = "Example: fcnship drop artifacts/multiscale -o multiscale.tar"

DEPLOY_EXAMPLE = "Example: fcnship deploy multiscale.tar jetson@orin.local"
ADD_EXAMPLE = "Example: fcnship device add orin.local"

Host = Annotated[str, typer.Argument(metavar="[USER@]HOST", help="As ssh takes it, ~/.ssh/config included.")]
Port = Annotated[int | None, typer.Option(metavar="N", help="ssh's port, where ~/.ssh/config says nothing.")]

device = typer.Typer(no_args_is_help=True, help="The devices that drops are deployed to.")


def drop(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, like artifacts/multiscale.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR|FILE.tar", help="The drop: a folder, .tar or .tar.gz.")
    ],
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign with this private key of OpenSSH.")
    ] = None,
    version: Annotated[
        str, typer.Option(metavar="TEXT", help="The release's version; the day of its report if left out.")
    ] = "",
    live: Annotated[
        str, typer.Option(metavar="PRECISION", help="What an install makes live; fp32 if left out.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Pack a run that passed for devices: networks, proofs and an installer in one folder or file."""
    from fcnship import terminal

    with terminal.listening() as events, terminal.kept_for_facts():
        made = api_ship.drop(run, out, sign=sign, version=version, live=live, events=events)
    terminal.show_drop(made, as_json)


def deploy(
    drop: Annotated[Path, typer.Argument(metavar="DROP", help="What fcnship drop made: a folder or a .tar.")],
    host: Host,
    root: Annotated[str, typer.Option(metavar="DIR", help="The store on the device.")] = "/data/fcnship",
    backend: Annotated[
        api_ship.Backend, typer.Option(metavar="NAME", help="auto, tensorrt or onnxruntime.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(metavar="PRECISION", help="What goes live; the drop's own choice if left out.")
    ] = "",
    bench: Annotated[bool, typer.Option(help="Time it there once it is live.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing anywhere.")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Write the results into its report; artifacts/NAME if it fits."),
    ] = None,
    port: Port = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Bring a drop to a device by ssh: it is verified and proved there, and goes live or changes nothing."""
    from fcnship import terminal

    with terminal.listening() as events:
        try:
            found = api_ship.deploy(
                drop,
                host,
                root=root,
                backend=backend,
                precision=precision,
                bench=bench,
                dry_run=dry_run,
                run=run,
                port=port,
                events=events,
            )
        except FcnshipError as error:
            if error.run is not None:
                terminal.show_deployment(error.run, as_json)
            raise
    terminal.show_deployment(found, as_json)


@device.command("add", epilog=ADD_EXAMPLE)
def device_add(
    host: Host,
    fingerprint: Annotated[
        str, typer.Option(metavar="SHA256:...", help="Accept this key alone, and do not ask.")
    ] = "",
    port: Port = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Show the fingerprint of a device's host key and, after a yes, add it to your known hosts."""
    from fcnship import terminal

    found = api_ship.device_add(host, port=port, fingerprint=fingerprint, accepts=_asked)
    terminal.show_added_device(found, as_json)


def _asked(host: str, key: HostKey) -> bool:
    """Ask the person at the terminal; nobody there is a no."""
    from fcnship import terminal

    return terminal.confirmed(
        f"{host} shows this key:\n  {key}\nIs it the one that the device's own console shows?"
    )
