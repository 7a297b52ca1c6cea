import pytest

from ml_assets import requirements
from ml_assets.requirements import WrongVersion
from ml_assets.training.kinds.base import check_installed_kinds


def install(monkeypatch, **versions):
    monkeypatch.setattr(requirements, "_version", lambda package: versions.get(package.replace("-", "_")))


def test_the_installed_set_is_right():
    check_installed_kinds()


@pytest.mark.parametrize(
    "versions",
    [
        {"xgboost": "3.2.0"},
        {"xgboost_cpu": "3.10.0"},
        {"xgboost_cpu": "4.0.0rc1"},
        {"xgboost_cpu": "3.2.0", "xgboost": "3.4.1"},
    ],
)
def test_a_new_enough_xgboost_of_either_name_is_right(monkeypatch, versions):
    install(monkeypatch, **versions)
    check_installed_kinds()


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ({"xgboost": "2.1.4"}, "xgboost 2.1.4"),
        ({"xgboost_cpu": "3.1.9"}, "xgboost-cpu 3.1.9"),
        # The second installs over the first one's files: which of the two is imported nobody knows.
        ({"xgboost_cpu": "3.2.0", "xgboost": "2.1.4"}, "xgboost 2.1.4"),
        ({}, "none"),
    ],
)
def test_an_old_or_absent_xgboost_is_one_clear_error(monkeypatch, versions, found):
    install(monkeypatch, **versions)
    with pytest.raises(WrongVersion, match=rf"needs XGBoost 3\.2 or newer, found {found}: .*Run `make install`"):
        check_installed_kinds()
