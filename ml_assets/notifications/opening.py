"""The channels that the environment declares."""

from collections.abc import Mapping

from ml_assets.extensions import Extensions
from ml_assets.notifications.channel import Channel, DeclaredChannel
from ml_assets.notifications.channels.log import LogChannel
from ml_assets.settings import MASK, Variable

CHANNELS = Extensions[type[DeclaredChannel]](
    "ml_assets.notification_channels",
    "notification channel",
    {
        "webhook": "ml_assets.notifications.channels.webhook:WebhookChannel",
        "slack": "ml_assets.notifications.channels.slack:SlackChannel",
        "email": "ml_assets.notifications.channels.email:EmailChannel",
    },
)


def open_channels(variables: Mapping[str, str]) -> list[Channel]:
    """Return the log, then every channel that variables declare. An empty variable declares nothing.

    Raises:
        ValueError: a declaration is malformed or incomplete; the message names the variable and never its value.
    """
    declared = [
        kind.from_variables({name: variables.get(name, "").strip() for name in kind.variables})
        for kind in CHANNELS.loadable().values()
    ]
    return [LogChannel(), *(channel for channel in declared if channel is not None)]


def describe_channels(variables: Mapping[str, str]) -> list[Variable]:
    """Describe the variables of every channel; their values are masked."""
    described = {name: text for kind in CHANNELS.loadable().values() for name, text in kind.variables.items()}
    return [
        Variable(name, "secret", None, text, MASK if variables.get(name, "").strip() else None)
        for name, text in described.items()
    ]
