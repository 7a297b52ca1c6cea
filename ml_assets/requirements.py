"""Versions without which results would be wrong rather than absent."""

from importlib.metadata import PackageNotFoundError, version

XGBOOST_AT_LEAST = (3, 2)


class WrongVersion(RuntimeError):
    """An installed library must not be used with this platform."""


def check_requirements() -> None:
    """Raise WrongVersion unless one XGBoost of at least 3.2 is installed.

    2.1.4, which a plain resolve of nannyml brings, mis-scores categories that come in another order.
    """
    found = {name: _version(name) for name in ("xgboost-cpu", "xgboost")}
    present = {name: v for name, v in found.items() if v is not None}
    too_old = [f"{n} {v}" for n, v in present.items() if tuple(map(int, v.split(".")[:2])) < XGBOOST_AT_LEAST]
    if too_old or not present:
        raise WrongVersion(
            f"ml_assets needs XGBoost 3.2 or newer, found {', '.join(too_old) or 'none'}: 2.x scores categories "
            "wrongly. Run `make install`, which installs requirements.lock without resolving again, or `uv sync` in a "
            "project of your own, whose [tool.uv] overrides what asks for the old one"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
