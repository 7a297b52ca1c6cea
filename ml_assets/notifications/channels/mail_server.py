"""One e-mail handed to a mail server."""

import contextlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from ml_assets.notifications.errors import NotSent, reason_of

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in. Port 0 is the protocol's own: 25, or 465 with `encrypted`."""

    host: str
    port: int
    encrypted: bool
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{'smtps' if self.encrypted else 'smtp'}://{self.host}"


def mail_server(url: str) -> MailServer | None:
    """Return the server that `smtp://user:password@host:port` or `smtps://...` means; None if the URL means none.

    User and password may be left out together; special characters in them are percent-encoded.
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 0
    except ValueError:
        return None
    beyond = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("smtp", "smtps") or not host or beyond or bool(parts.username) != bool(parts.password):
        return None
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return MailServer(host, port, parts.scheme == "smtps", user, password)


def hand_in(server: MailServer, message: EmailMessage, timeout_s: float) -> None:
    """Send `message` through the server to all its addresses, encrypted if the server can.

    A password goes over the network only encrypted. `timeout_s` bounds each wait for the server, in seconds.

    Raises:
        NotSent: the server cannot be reached, is too slow, or refuses the message or one of its addresses.
    """
    try:
        with contextlib.closing(_connection(server, timeout_s)) as session:
            _secure(session, server)
            refused = session.send_message(message)
            with contextlib.suppress(OSError):  # the message is taken; a failed farewell must not send it twice
                session.quit()
    except NotSent:
        raise
    except smtplib.SMTPResponseException as error:
        raise NotSent(str(server), f"answered SMTP {error.smtp_code}", error.smtp_code < 500) from None
    except smtplib.SMTPRecipientsRefused as error:
        again = any(code < 500 for code, _ in error.recipients.values())
        raise NotSent(str(server), "refused every address", again) from None
    except (OSError, ValueError) as error:
        raise NotSent(str(server), reason_of(error, timeout_s)) from None
    if refused:
        raise NotSent(str(server), f"refused {len(refused)} of the addresses, not all", again=False)


def _connection(server: MailServer, timeout_s: float) -> smtplib.SMTP:
    if server.encrypted:
        # Without a context smtplib believes any certificate.
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=ssl.create_default_context())
    return smtplib.SMTP(server.host, server.port, timeout=timeout_s)


def _secure(session: smtplib.SMTP, server: MailServer) -> None:
    session.ehlo_or_helo_if_needed()
    encrypted = server.encrypted
    if not encrypted and session.has_extn("starttls"):
        session.starttls(context=ssl.create_default_context())
        encrypted = True
    if server.user is None:
        return
    if not encrypted and server.host not in _THIS_MACHINE:
        raise NotSent(str(server), "offers no encryption, so the password was not sent", again=False)
    session.login(server.user, server.password or "")
