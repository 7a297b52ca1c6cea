"""Variables that will fail later, or that nothing reads: said before anything runs."""

from collections.abc import Callable, Iterator

from ml_assets.settings import Settings, unread_variables


def misspelt_variables() -> list[str]:
    """Return a line for each variable that nothing reads and that is nearly one that is read."""
    return [f"{name} is read by nothing: did you mean {near}?" for name, near in _unread().items() if near is not None]


def unknown_variables() -> list[str]:
    """Return a line for each variable that looks like ours, that nothing reads, and that is near to none."""
    return [f"{name} is read by nothing" for name, near in _unread().items() if near is None]


def setting_faults(settings: Settings) -> Iterator[str]:
    """Yield a line, beginning with the variable's name, for each value that whatever needs it would refuse."""
    from ml_assets.notifications.opening import channel_faults
    from ml_assets.online.stores.opening import check_store_address
    from ml_assets.registry.trackers.known import TRACKERS
    from ml_assets.serving.access.digests import hashed_keys
    from ml_assets.training.search.study_storage import check_studies_address

    yield from channel_faults(settings.notifications)
    yield from _fault("", lambda: hashed_keys(settings.api_keys.get_secret_value()))
    for name in settings.trackers:
        yield from _fault("ML_ASSETS_TRACKERS: ", lambda name=name: TRACKERS.get(name))
    if settings.online_store is not None:
        yield from _fault("ONLINE_STORE_URL: ", lambda url=settings.online_store: check_store_address(url))
    if settings.studies is not None:
        yield from _fault("ML_ASSETS_STUDIES ", lambda url=settings.studies: check_studies_address(url))


def _fault(before: str, check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except ValueError as error:
        yield f"{before}{error}"


def _unread() -> dict[str, str | None]:
    """Return what nothing reads; the channels, which are loaded for it, are asked only where there is something."""
    if not unread_variables():
        return {}
    from ml_assets.notifications.opening import describe_channels

    return unread_variables([variable.name for variable in describe_channels({})])
