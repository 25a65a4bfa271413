"""The commands that change or look at the store: verify, install, status, rollback, gc."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fcnship.device.arguments import add_command, add_drop, add_root, add_signers, path
from fcnship.device.output import say


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    for add in (_add_verify, _add_install, _add_status, _add_rollback, _add_gc):
        add(commands)


def _add_verify(commands: Any) -> None:
    parser = add_command(
        commands, "verify", _verify, "Verify a drop's signature and every file; change nothing."
    )
    add_drop(parser)
    add_root(parser)
    add_signers(parser)


def _verify(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.store import Root
    from fcnship.device.verify import verify_drop

    signers = Root(arguments.root).signers(arguments.allowed_signers)
    verified = verify_drop(arguments.drop, signers)
    manifest = verified.manifest
    if not verified.signed:
        who = "not signed"
    else:
        who = f"signed by {verified.signer}" if signers else "its signature was not asked for"
    say(f"{manifest.name} {manifest.version} is whole ({len(manifest.files)} files, {who})")
    return {
        "release": manifest.sha256,
        "name": manifest.name,
        "version": manifest.version,
        "files": len(manifest.files),
        "bytes": manifest.size_bytes,
        "signed": verified.signed,
        "signer": verified.signer,
    }


def _add_install(commands: Any) -> None:
    parser = add_command(
        commands, "install", _install, "Install a drop: it proves itself and goes live, or nothing changes."
    )
    add_drop(parser)
    add_root(parser)
    add_signers(parser)
    parser.add_argument("--backend", choices=("auto", "tensorrt", "onnxruntime"), default="auto")
    parser.add_argument("--precision", help="fp32, fp16 or int8 (default: what the drop says)")
    parser.add_argument(
        "--engine", metavar="DIR", type=path, help="a ready engine; its key must match to the letter"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")


def _install(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.install import InstallRequest, install
    from fcnship.device.probe import probe

    request = InstallRequest(
        drop=arguments.drop,
        root=arguments.root,
        backend=arguments.backend,
        precision=arguments.precision,
        allowed_signers=arguments.allowed_signers,
        engine=arguments.engine,
        dry_run=arguments.dry_run,
    )
    device = probe(arguments.root)
    facts = {**install(request, device, say), "latency": [], "probe": device.as_json()}
    state = "is live" if facts["changed"] else "was live already"
    if arguments.dry_run:
        state = "would go live" if facts["changed"] else "is live already"
    say(f"{facts['name']} {facts['version']} {state} ({facts['backend']}, {facts['precision']})")
    return facts


def _add_status(commands: Any) -> None:
    add_root(
        add_command(
            commands, "status", _status, "Say what is live, whether it is whole, and what else is there."
        )
    )


def _status(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.probe import probe
    from fcnship.device.status import status

    facts = status(arguments.root, probe(arguments.root))
    live = facts["current"]
    say(
        f"live: {live['name']} {live['version']}, whole"
        if live
        else f"nothing is installed in {facts['root']}"
    )
    return facts


def _add_rollback(commands: Any) -> None:
    parser = add_command(commands, "rollback", _rollback, "Go back to the release before this one.")
    add_root(parser)
    add_signers(parser)


def _rollback(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.probe import probe
    from fcnship.device.rollback import rollback

    device = probe(arguments.root)
    facts = {**rollback(arguments.root, arguments.allowed_signers, device, say), "probe": device.as_json()}
    say(f"{facts['name']} {facts['version']} is live again")
    return facts


def _add_gc(commands: Any) -> None:
    parser = add_command(
        commands, "gc", _gc, "Remove what neither current nor previous uses, and uploads that rest."
    )
    add_root(parser)
    parser.add_argument("--dry-run", action="store_true", help="name them, remove nothing")


def _gc(arguments: Namespace) -> dict[str, Any]:
    from fcnship.device.gc import collect

    facts = collect(arguments.root, dry_run=arguments.dry_run)
    count = sum(len(facts[kind]) for kind in ("releases", "engines", "uploads"))
    done = "would free" if arguments.dry_run else "freed"
    say(f"{count} folders, {done} {facts['freed_bytes'] / 1e6:,.1f} MB")
    return facts
