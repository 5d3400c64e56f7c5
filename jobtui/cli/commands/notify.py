"""`jobtui notify test`: sends a message to every target of notifications.

This process sends it itself, once and without further attempts: a profile's owner that hangs, or that was
started with other settings, does not change the result.
"""

from __future__ import annotations

import asyncio

from jobtui.cli.errors import Exit, UsageError
from jobtui.cli.options import NotifyCommand
from jobtui.cli.profiles import read_settings
from jobtui.cli.streams import StdoutWriter
from jobtui.clock import SystemClock
from jobtui.config import choose_profile
from jobtui.config.loader import ConfigError
from jobtui.engine.delivery import DeliveryResult, deliver, make_target
from jobtui.engine.notifications import encode_message, trial_message
from jobtui.engine.notify_settings import NotifySettings
from jobtui.formatting import printable_line


def notify_command(command: NotifyCommand) -> int:
    """Send the message, print a line for each target, and return the exit status.

    Raises UsageError.
    """
    config = read_settings(command)
    try:
        profile = choose_profile(config, command.profile)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    if not config.notify.targets:
        raise UsageError(
            f"{config.path}: there is no command and no url in the table [notify]; "
            "docs/notifications.md describes both"
        )
    message = encode_message(trial_message(profile, SystemClock().now()))
    results = asyncio.run(_send(config.notify, message))
    output = StdoutWriter()
    for result in results:
        output.write(f"{'sent' if result.is_delivered else 'FAILED'}: {printable_line(result.text)}\n")
    output.flush()
    return Exit.DONE if all(result.is_delivered for result in results) else Exit.FAILED


async def _send(settings: NotifySettings, message: bytes) -> list[DeliveryResult]:
    targets = [make_target(settings, name) for name in settings.targets]
    return await asyncio.gather(*(deliver(target, message, settings.timeout) for target in targets))
