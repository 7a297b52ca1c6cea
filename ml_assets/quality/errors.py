"""What can be wrong with a contract or with the frame it is applied to."""


class ContractError(ValueError):
    """A contract that cannot be loaded or used, or a frame that lacks its columns or types.

    Bad rows never raise it: they go to quarantine.
    """
