"""The channels that the environment declares."""

from collections.abc import Iterable, Mapping

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
        "teams": "ml_assets.notifications.channels.teams:TeamsChannel",
        "pagerduty": "ml_assets.notifications.channels.pagerduty:PagerDutyChannel",
        "email": "ml_assets.notifications.channels.email:EmailChannel",
    },
)


def open_channels(variables: Mapping[str, str]) -> list[Channel]:
    """Return the log, then every channel that variables declare. An empty variable declares nothing.

    Raises:
        ValueError: a declaration is malformed or incomplete; the message names the variable and never its value.
    """
    declared = [_open(kind, variables) for kind in CHANNELS.loadable().values()]
    return [LogChannel(), *(channel for channel in declared if channel is not None)]


def channel_faults(variables: Mapping[str, str]) -> list[str]:
    """Return what `open_channels` would refuse, a line for each channel; no line holds a value."""
    faults = []
    for kind in CHANNELS.loadable().values():
        try:
            _open(kind, variables)
        except ValueError as error:
            faults.append(str(error))
    return faults


def _open(kind: type[DeclaredChannel], variables: Mapping[str, str]) -> Channel | None:
    return kind.from_variables({name: variables.get(name, "").strip() for name in kind.variables})


def describe_channels(variables: Mapping[str, str], channels: Iterable[str] | None = None) -> list[Variable]:
    """Describe the variables of channels; their values are masked.

    Args:
        channels: names of channels, such as those that ship; every one that is installed unless given.
    """
    kinds = CHANNELS.loadable()
    chosen = kinds.values() if channels is None else [kinds[name] for name in channels]
    described = {name: text for kind in chosen for name, text in kind.variables.items()}
    return [
        Variable(name, "secret", None, text, MASK if variables.get(name, "").strip() else None)
        for name, text in described.items()
    ]
