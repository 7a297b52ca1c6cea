"""A project as Dagster loads it: the declarations in its ``defs/`` folder, resources, jobs and sensors."""

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import dagster as dg

from ml_assets.code_version import current_project
from ml_assets.declarations.problems import DeclarationError
from ml_assets.declarations.python_files import make_importable
from ml_assets.environment import prepare_libraries
from ml_assets.extensions import ExtensionError
from ml_assets.home import Home
from ml_assets.settings import Settings, SettingsError, read_settings

prepare_libraries()
# Backfill policies and asset checks per partition are marked beta; nothing here is undecided about them.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


@lru_cache(maxsize=1)
def load_current(settings: Settings | None = None) -> dg.Definitions:
    """Load the definitions of the project that settings name, or that the working directory lies in, once.

    A use case with something wrong in it is left out: ``component_tree.left_out`` says what.

    Args:
        settings: those of the environment unless given.

    Raises:
        what load_project raises, of what lies in no use case.
    """
    settings = settings or read_settings()
    project = current_project(settings.project)
    left_out: dict[str, str] = {}
    make_importable(project)
    while True:
        try:
            return _load(project.folder / project.package, settings, left_out)
        except DeclarationError as error:
            wrong = error.by_use_case
            if not wrong or set(wrong) <= set(left_out):
                raise DeclarationError(str(error)) from None
            left_out |= wrong


def load_project(within: Path) -> dg.Definitions:
    """Load the definitions of the project that a path lies in: the nearest folder above with a pyproject.toml.

    This is what Dagster loads, in each of its processes: the environment is read here, and nowhere below.

    Raises:
        RuntimeError: a library is too old.
        SettingsError: a variable of the environment has a value that it must not have.
        DeclarationError: a declaration is wrong; the message says where, so it comes without our own frames.
    """
    from ml_assets.automation.run_processes import prepare_runs

    prepare_runs()
    try:
        return _load(within, read_settings(), {})
    except DeclarationError as error:
        raise DeclarationError(str(error)) from None


def _load(within: Path, settings: Settings, left_out: Mapping[str, str]) -> dg.Definitions:
    """Load the definitions without some use cases, given with what is wrong with each."""
    from ml_assets.automation.jobs import build_jobs
    from ml_assets.automation.sensors.build import build_sensors
    from ml_assets.components.project.coherence import check_coherence
    from ml_assets.components.project.tree import ProjectTree
    from ml_assets.resources import AsOf, LakeResource, OnlineStoreResource, RegistryResource, StudiesResource
    from ml_assets.training.kinds.base import check_installed_kinds

    check_installed_kinds()
    home = Home.of(settings)
    check_trackers(home.trackers)
    # The folder alone: load_from_defs_folder would also import every library that offers components, dagster-dbt
    # among them, which takes longer than all the rest.
    tree = ProjectTree.for_project(within)
    tree.leave_out(left_out)
    tree.keep_state_in(home)
    declared = tree.build_defs(tree.defs_module_path)
    made = [assets for assets in declared.assets or () if isinstance(assets, dg.AssetsDefinition)]
    specs = [spec for assets in made for spec in assets.specs]
    check_coherence(tree, specs, home.coherent)
    return dg.Definitions.merge(
        declared,
        dg.Definitions(
            component_tree=tree,
            jobs=build_jobs(specs),
            sensors=build_sensors(specs, tree, settings),
            executor=EXECUTORS[settings.executor],
            resources={
                "lake": LakeResource(root=home.lake),
                "registry": RegistryResource(
                    tracking_uri=_address("ML_ASSETS_MLFLOW", settings.mlflow, home.mlflow),
                    artifacts=home.mlflow_artifacts,
                    trackers=list(home.trackers),
                ),
                "studies": StudiesResource(url=_address("ML_ASSETS_STUDIES", settings.studies, home.studies)),
                "online_store": OnlineStoreResource(
                    url=_address("ONLINE_STORE_URL", settings.online_store, home.online_store)
                ),
                "as_of": AsOf.configure_at_launch(),
            },
        ),
    )


def _address(variable: str, declared: str | None, own: str) -> str:
    """Return what a resource is configured with: Dagster keeps and shows it, so a variable's name, not its password."""
    return own if declared is None else dg.EnvVar(variable)


def check_trackers(names: Sequence[str]) -> None:
    """Raise SettingsError if a tracker is unknown or cannot be loaded: now, and not when the first training ends."""
    from ml_assets.registry.trackers.known import TRACKERS

    try:
        for name in names:
            TRACKERS.get(name)
    except ExtensionError as error:
        raise SettingsError(f"ML_ASSETS_TRACKERS: {error}") from None
