"""Why a model did worse on a drop: its rows beside their reference, and what happened upstream."""
