"""The main job: a use case's lifecycle, run by run, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
from rich.console import Console

from ml_assets.addresses import without_secrets
from ml_assets.automation.execute import RunFailed, Runner
from ml_assets.automation.jobs import drop_job, ingest_job
from ml_assets.automation.lifecycle import PlannedRun, plan_lifecycle, plan_retraining
from ml_assets.automation.projects import declared_in
from ml_assets.automation.recovery import close_dead_runs, hold_lock
from ml_assets.commands.lifecycle.summary import show_summary
from ml_assets.commands.progress import run_progress
from ml_assets.commands.terminal import open_terminal
from ml_assets.components.partitions import partitions_of
from ml_assets.declarations.project import UseCase
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.quality.contracts import contract_schema, load_contract
from ml_assets.registry.store.server import RegistryAway
from ml_assets.resources import RegistryResource
from ml_assets.retraining.decide import read_decisions
from ml_assets.sources.delivery.read import fingerprint, list_drops
from ml_assets.sources.drops.grains import GRAINS, WHOLE, is_name
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.schema import DropSchema
from ml_assets.sources.spec import SourceSpec
from ml_assets.training.kinds.lean import import_for


@dataclass(frozen=True)
class MainJob:
    """Lives through the drops of one use case, a folder under ``defs/``.

    Attributes:
        models: those to live with; empty for all that the use case declares.
        loaded: the definitions of the project; None to load those of the current one.
    """

    home: Home
    use_case: str
    models: tuple[str, ...] = ()
    loaded: dg.Definitions | None = None

    def live(self, train_as_of: str, since: str = "", until: str = "", as_json: bool = False) -> None:
        """Execute the runs that have not been run yet, in order, and show the summary.

        A drop that fails ends it, unless a gate turned it away and every source that is cut into drops declares
        ``after_failure: continue``: then the later drops are lived through without it, and it is tried again the next
        time.

        Raises:
            ValueError: no such use case, no such model in it, or nothing to train on.
            RunFailed: a run failed; the runs before it keep their results.
        """
        console = open_terminal(to_errors=as_json)
        lock = self.home.root / "lifecycle.lock"
        with hold_lock(lock, lambda: console.print("Another lifecycle runs in this home; waiting for its end.")):
            instance = dg.DagsterInstance.get()
            self._tidy_up(console, instance)
            chosen = {model.name for model in self._models}
            left_out = frozenset(model.name for model in self._declared.models) - chosen
            runner = Runner(self.definitions, instance, left_out)
            self._check_names(since=since, until=until)
            drops = [d for d in self._drops() if d >= since and (not until or d <= until)]
            before, failed = "", []
            for planned in plan_lifecycle(self.use_case, drops, train_as_of, self._grain):
                try:
                    before = self._run_once(console, runner, planned, before)
                except RunFailed as error:
                    if not (planned.job == drop_job(self.use_case) and error.for_its_data and self._goes_on):
                        raise
                    failed.append(str(error))
                    continue
                for retraining in self._decided(planned):
                    before = self._run_once(console, runner, retraining, before)
        show_summary(self.home, declared_in(self.definitions), self.use_case, self.models, as_json)
        if failed:
            raise RunFailed("\n".join(failed))

    @property
    def _goes_on(self) -> bool:
        return all(source.after_failure == "continue" for source in self._declared.cut_sources)

    @cached_property
    def definitions(self) -> dg.Definitions:
        from ml_assets.project import load_current

        return self.loaded or load_current()

    @cached_property
    def _declared(self) -> UseCase:
        return declared_in(self.definitions).only(self.use_case)

    @cached_property
    def _models(self) -> list[DeclaredModel]:
        return self._declared.choose_models(self.models)

    @property
    def _grain(self) -> str:
        """Return the one grain of the sources that are cut into drops; raises ValueError where there is not one."""
        grains = sorted({source.drops.grain for source in self._declared.cut_sources})
        if len(grains) != 1:
            raise ValueError(
                f"{self.use_case} is lived through drop by drop, so its sources need drops of one grain; they have "
                f"{', '.join(grains) or 'none that are cut'}"
            )
        return grains[0]

    def _check_names(self, **given: str) -> None:
        """Raise ValueError for a name that no drop can have; an empty one is none."""
        for option, name in given.items():
            if name and not is_name(self._grain, name):
                form = GRAINS[self._grain].form
                raise ValueError(f"--{option}: {name!r} is no {self._grain} drop of {self.use_case}: write {form}")

    def _drops(self) -> list[str]:
        """List the drops that are over and that every source cut into drops has delivered.

        Raises:
            ValueError: a source has delivered none.
        """
        sources = self._declared.cut_sources
        held = [set(list_drops(source, _schema(source))) & _ended(source) for source in sources]
        without = [f"{each.name} ({_place(each)})" for each, drops in zip(sources, held, strict=True) if not drops]
        if without:
            raise ValueError(f"nothing to train on: no drop that is over has been delivered of {', '.join(without)}")
        return sorted(set.intersection(*held)) if held else []

    def _tidy_up(self, console: Console, instance: dg.DagsterInstance) -> None:
        dead = close_dead_runs(instance)
        if dead:
            registry = RegistryResource(
                tracking_uri=self.home.mlflow,
                artifacts=self.home.mlflow_artifacts,
                trackers=list(self.home.trackers),
            )
            try:
                closed = registry.open().close_stale_runs(dead)
                console.print(f"Closed {len(dead)} killed run(s) and {closed} MLflow run(s) they had left open.")
            except RegistryAway as away:
                # What comes before a training does not need it.
                console.print(f"Closed {len(dead)} killed run(s); what they left open in MLflow stays so: {away}")

    def _run_once(self, console: Console, runner: Runner, planned: PlannedRun, before: str) -> str:
        models = () if planned.job == ingest_job(self.use_case) else sorted(runner.left_out)
        key = runner.key_of(planned, self._delivered(planned.drops), before, models)
        if runner.is_done(key):
            console.print(f"[dim]= {planned.title}: nothing has changed[/]")
            return key
        import_for(model.kind for model in self._models)
        with run_progress(console, planned.title, runner.steps_of(planned)) as progress:
            runner.run(planned, key, progress)
        return key

    def _decided(self, lived: PlannedRun) -> list[PlannedRun]:
        """Return the trainings that the decisions on the latest drop ask for."""
        lake = Lake(self.home.lake)
        return [
            plan_retraining(self.use_case, model.name, decision.as_of, decision.id)
            for model in self._models
            for decision in read_decisions(lake, model.name)
            if decision.retrain and decision.drop in lived.drops and lived.job == drop_job(self.use_case)
        ]

    def _delivered(self, drops: Sequence[str]) -> str:
        if not drops:
            return ""
        return " ".join(
            fingerprint(source, [WHOLE] if source.drops.grain == WHOLE else list(drops), _schema(source))
            for source in self._declared.sources
        )


def _ended(source: SourceSpec) -> set[str]:
    """Return the names of the drops that are over, of a source that is cut into drops."""
    partitions = partitions_of(source.drops)
    return set() if partitions is None else set(partitions.get_partition_keys())


def _place(source: SourceSpec) -> str:
    """Return where a source's rows are looked for, as it may be shown."""
    return without_secrets(source.where.connection or locate(source.where))


def _schema(source: SourceSpec) -> DropSchema:
    return contract_schema(load_contract(source.contract))
