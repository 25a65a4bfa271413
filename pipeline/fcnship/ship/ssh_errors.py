"""What OpenSSH says where there is no connection, as errors that say what to do."""

from __future__ import annotations

from collections.abc import Sequence

from fcnship.errors import DeviceError
from fcnship.ship.destination import Destination

# What ssh or the device's shell writes, what happened, its cause, what to do. The first that is found counts.
_KNOWN = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "THE HOST KEY OF {host} HAS CHANGED: nothing was sent",
        "it was installed anew, or somebody else answers in its place ({address})",
        "find out which. If it was installed anew: ssh-keygen -R '{known_as}' and fcnship device add {words}",
    ),
    (
        "is revoked",
        "the host key of {host} is marked as revoked: nothing was sent",
        "known_hosts has a @revoked line for it: the key was stolen, or thrown away",
        "give the device a new host key",
    ),
    (
        "Host key verification failed",
        "{host} is not a known host: nothing was sent",
        "its key is in no known_hosts file, and a key is never accepted unasked",
        "fcnship device add {words}",
    ),
    (
        "Permission denied (",
        "{typed} does not let us in",
        "none of your keys is authorised there, or the key needs a passphrase and no ssh-agent holds it",
        "ssh-copy-id {as_typed}; or ssh-add; then try ssh {as_typed} true",
    ),
    (
        "Too many authentication failures",
        "{typed} does not let us in",
        "the ssh-agent offered too many keys before the right one",
        "name the key in ~/.ssh/config: IdentityFile and IdentitiesOnly yes",
    ),
    (
        "Could not resolve hostname",
        "there is no host {host}",
        "the name is misspelt, or known only in another network",
        "try ssh {as_typed} true, or use its IP address",
    ),
    (
        "fcnship-python",
        "the Python on {host} is too old: fcnship-device needs 3.10 or later",
        "JetPack 5 and older have one like that, and a TensorRT that is too old as well",
        "use a device with JetPack 6.1 or later",
    ),
    (
        "python3: not found",
        "there is no python3 on {host}",
        "fcnship-device is a Python program",
        "install it there: sudo apt install python3 python3-numpy",
    ),
)
_SAME = {
    "python3: command not found": "python3: not found",
    "Unknown command: python3": "python3: not found",
    "command not found: python3": "python3: not found",
}
# How ssh names a peer that it has through a pipe.
_BEHIND_A_JUMP = "UNKNOWN port 65535"
_SILENT = ("timed out", "refused", "No route to host", "unreachable", "Connection closed", "Connection reset")


def error_of(to: Destination, code: int | None, told: Sequence[str], *, begun: bool) -> DeviceError:
    """The error for a connection that ended with ``code`` after writing ``told``.

    ``begun``: the device had answered before, so that the line was cut.
    """
    text = "\n".join(told)
    for theirs, ours in _SAME.items():
        text = text.replace(theirs, ours)
    words = {
        "host": to.name,
        "typed": to.typed,
        "address": to.address,
        "known_as": to.known_as,
        "as_typed": to.as_typed,
        "words": to.name + (f" --port {to.port}" if to.port else ""),
    }
    said = "; ".join(told[-3:]) or f"ssh ended with code {code} and said nothing"
    if begun:
        return DeviceError(
            f"the connection to {to.typed} was cut",
            cause=said,
            next="run the same command again: it goes on with what has arrived",
        )
    jump = to.settings.get("proxyjump") or to.settings.get("proxycommand")
    if jump and _BEHIND_A_JUMP in text:
        return DeviceError(
            f"{to.name} is not reached: the line ended on its way there, at {jump}",
            cause="; ".join([line.strip("@ ") for line in told if line.strip("@")][:2]),
            next=f"get there by hand first, once: ssh {to.as_typed} true",
        )
    for mark, what, cause, then in _KNOWN:
        if mark in text:
            return DeviceError(what.format(**words), cause=cause.format(**words), next=then.format(**words))
    if any(mark in text for mark in _SILENT):
        return DeviceError(
            f"{to.name} does not answer ({to.address})",
            cause=said,
            next="is it switched on and in this network? try ssh {as_typed} true".format(**words),
        )
    return DeviceError(
        f"no connection to {to.typed}",
        cause=said,
        next="try it by itself: ssh {as_typed} true".format(**words),
    )
