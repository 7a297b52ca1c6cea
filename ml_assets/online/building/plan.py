"""What a build does, kept with it so that another process can go on with it."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.stores.records import StagedBuild
from ml_assets.online.values.record import Build


class BuildPlan(BaseModel):
    """A build that is begun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    build: Build = Field(description="What it is made from.")
    base: str | None = Field(description="The build that it updates; null for one of all entities.")
    ranges: list[str] = Field(description="The texts of entities at which its parts are cut, ascending.")
    facts: str | None = Field(
        default=None, description="Digest of the columns of the facts in its parts; null where it was not noted."
    )


def find_resumable(store: OnlineStore, wanted: Build, base: str | None) -> tuple[BuildPlan, StagedBuild] | None:
    """Return the build that was begun last and given up, if it is one of the same facts; None for none.

    Args:
        base: the build that is read.
    """
    staged = store.unfinished(wanted.view)
    if staged is None or wanted.table_version is None:
        return None
    try:
        plan = BuildPlan.model_validate_json(staged.plan)
    except ValidationError:  # Another version of this package began it.
        return None
    made_from = {"view", "as_of", "valid_until", "table_version", "table_files"}
    same = plan.build.model_dump(include=made_from) == wanted.model_dump(include=made_from)
    declaration = wanted.build.rpartition("@")[2]
    if not same or not plan.build.is_of(declaration) or plan.build.pushed_seq > wanted.pushed_seq:
        return None
    return (plan, staged) if plan.base in (None, base) else None
