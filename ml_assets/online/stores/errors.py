"""What keeps a store from doing what was asked."""


class NoBuild(LookupError):
    """A view has no build in the store."""

    def __init__(self, view: str) -> None:
        super().__init__(f"feature view {view!r} has no build in the online store: materialize online/{view} first")


class OtherDeclaration(NoBuild):
    """The build of a view that is in the store was made by another declaration than the one that asks."""

    def __init__(self, view: str) -> None:
        LookupError.__init__(
            self,
            f"the online store was built by another declaration of feature view {view!r}: materialize online/{view} "
            "again, and start what reads it again",
        )


class StaleBuild(RuntimeError):
    """A newer build of the view was published while this one was being made."""

    def __init__(self, view: str) -> None:
        super().__init__(f"a newer build of feature view {view!r} was published while this one was made: build again")


class StoreUnavailable(ConnectionError):
    """The store cannot be reached, or answers that it cannot do what was asked."""


class EntityLost(StoreUnavailable):
    """The store has thrown away what it had of an entity."""


class OutcomeUnknown(StoreUnavailable):
    """The store was lost while it made a change, which may be made or not."""
