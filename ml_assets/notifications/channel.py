"""What a notification channel is."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from ml_assets.notifications.notice import Notice

TIMEOUT_S = 10.0
"""Seconds that a receiver may keep us waiting."""


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """What the channel is called in messages."""
        ...

    def send(self, notice: Notice) -> None:
        """Send one notice, in one attempt.

        Raises:
            NotSent: the notice was not taken; it says why, without a secret, and whether another attempt could help.
                Of any other exception only the type is shown, and another attempt is made.
        """
        ...


class DeclaredChannel(Channel, Protocol):
    """A channel that variables of the environment declare: what the extension point takes are classes of this kind."""

    variables: ClassVar[Mapping[str, str]]
    """Variables that declare the channel, each with a description; names begin with ``ML_ASSETS_NOTIFY_``."""

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> "Channel | None":
        """Make the channel that variables declare.

        Args:
            variables: those of ``variables``, empty where they are not set, without blanks around them.

        Returns:
            None where they declare none.

        Raises:
            ValueError: they are malformed or incomplete. The message names the variable and never its value.
        """
        ...
