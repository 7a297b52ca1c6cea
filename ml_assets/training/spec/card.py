"""What people say about a model for its card, beside what is recorded."""

from pydantic import Field

from ml_assets.training.spec.declared import Declared


class CardSpec(Declared):
    """Prose for the model's card. What is left out is called *not stated* there, never filled in."""

    purpose: str = Field(default="", description="What the model is for, and what is decided by its predictions.")
    intended_use: str = Field(default="", description="Who uses it, on whom or what, where and how.")
    out_of_scope: str = Field(
        default="", description="What it must not be used for, misuse that is foreseeable included."
    )
    provider: str = Field(default="", description="Name of the person or organisation that provides the model.")
    data: str = Field(
        default="", description="How the data was obtained, selected, labelled and cleaned, and whom it represents."
    )
    design: str = Field(default="", description="Why the model is as it is: assumptions, choices, trade-offs.")
    metrics: str = Field(default="", description="Why these metrics fit the purpose.")
    fairness: str = Field(default="", description="Which groups may be treated unequally, and what is done about it.")
    limits: str = Field(default="", description="What the model cannot do, and when not to rely on it.")
    risks: str = Field(
        default="", description="Risks to health, safety and fundamental rights, and how they are managed."
    )
    human_oversight: str = Field(
        default="", description="Who watches the model and its predictions, and how they are overruled or stopped."
    )
    security: str = Field(default="", description="Measures for robustness and against attacks.")
    monitoring: str = Field(default="", description="What is done with what monitoring finds, by whom, how soon.")
    standards: str = Field(
        default="",
        description="Harmonised standards and other specifications that are applied, and where the EU "
        "declaration of conformity is.",
    )
