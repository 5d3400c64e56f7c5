"""`jobtui metrics`: the metrics of a profile as OpenMetrics text, once.

It starts no engine. What only an owner can measure comes from the process that runs the profile, if any.
"""

from __future__ import annotations

from contextlib import closing

from jobtui.cli.errors import CommandError, Exit, profile_error
from jobtui.cli.options import MetricsCommand
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.cli.streams import StdoutWriter
from jobtui.engine.metrics import ProfileMetrics
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable
from jobtui.files import publish_file
from jobtui.history import StoreError
from jobtui.os_errors import describe_os_error


def metrics_command(command: MetricsCommand) -> int:
    """Print the metrics, or replace a file with them, and return the exit status.

    Raises CommandError.
    """
    profile = resolve_profile(command, read_settings(command))
    try:
        with closing(_connect(profile)) as client:
            text = ProfileMetrics(client, profile, has_owner=isinstance(client, RemoteClient)).text()
    except StoreError as error:
        raise profile_error(error) from None
    if command.output is None:
        output = StdoutWriter()
        output.write(text.decode())
        output.flush()
        return Exit.DONE
    try:
        publish_file(command.output, text)
    except OSError as error:
        reason = describe_os_error(error, command.output)
        raise CommandError(f"{command.output} cannot be written: {reason}; it is as it was before") from None
    return Exit.DONE


def _connect(profile: Profile) -> RemoteClient | ReadOnlyClient:
    """Return a client of the owner, or one that reads from disk if none answers.

    Raises StoreError.
    """
    try:
        return RemoteClient.connect(profile)
    except OwnerUnavailable:
        return ReadOnlyClient.open(profile)
