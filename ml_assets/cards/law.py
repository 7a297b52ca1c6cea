"""Where the European Union's Artificial Intelligence Act asks for what a card says.

Source: Regulation (EU) 2024/1689, Annex IV ("Technical documentation referred to in Article 11(1)") and the articles
of Chapter III, Section 2, and Chapter IX. Headings are shortened where they go on for lines; whether the Regulation
applies to a model is not for a card to say.
"""

REGULATION = "Regulation (EU) 2024/1689"

PURPOSE = ("Annex IV(1)(a)", "Article 13 Transparency and provision of information to deployers")
DATA = ("Annex IV(2)(d)", "Article 10 Data and data governance")
FEATURES = ("Annex IV(2)(d)", "Annex IV(3)", "Article 10 Data and data governance")
DESIGN = ("Annex IV(2)(a)", "Annex IV(2)(b)")
METRICS = ("Annex IV(2)(g)", "Annex IV(4)", "Article 15 Accuracy, robustness and cybersecurity")
SLICES = ("Annex IV(3)", "Article 13 Transparency and provision of information to deployers")
SCORES = ("Annex IV(2)(b)", "Annex IV(2)(g)", "Article 13 Transparency and provision of information to deployers")
FAIRNESS = ("Annex IV(2)(g)", "Annex IV(3)", "Article 10 Data and data governance")
LIMITS = ("Annex IV(3)", "Article 13 Transparency and provision of information to deployers")
RISKS = ("Annex IV(3)", "Annex IV(5)", "Article 9 Risk management system")
OVERSIGHT = ("Annex IV(2)(e)", "Annex IV(3)", "Article 14 Human oversight")
SECURITY = ("Annex IV(2)(h)", "Article 15 Accuracy, robustness and cybersecurity")
MONITORING = ("Annex IV(2)(f)", "Annex IV(3)", "Annex IV(9)", "Article 72 Post-market monitoring by providers")
DECISIONS = ("Annex IV(6)", "Article 12 Record-keeping")
STANDARDS = ("Annex IV(7)", "Annex IV(8)", "Article 47 EU declaration of conformity")
REPRODUCTION = ("Annex IV(1)(c)", "Annex IV(2)(a)")

ANNEX_IV: tuple[tuple[str, str], ...] = (
    ("1(a)", "intended purpose, name of the provider, version and its relation to previous versions"),
    ("1(b)", "how it interacts with hardware or software that is not part of it"),
    ("1(c)", "versions of relevant software or firmware, requirements related to version updates"),
    ("1(d)", "forms in which it is placed on the market or put into service"),
    ("1(e)", "hardware on which it is intended to run"),
    ("1(f)", "photographs or illustrations of products that it is a component of"),
    ("1(g)", "basic description of the user-interface provided to the deployer"),
    ("1(h)", "instructions for use for the deployer"),
    ("2(a)", "methods and steps performed for the development"),
    ("2(b)", "design specifications: general logic, key design choices, what it is designed to optimise for"),
    ("2(c)", "system architecture, computational resources used"),
    ("2(d)", "data requirements: training data sets, provenance, scope, labelling, cleaning"),
    ("2(e)", "assessment of the human oversight measures needed in accordance with Article 14"),
    ("2(f)", "pre-determined changes to the system and its performance"),
    ("2(g)", "validation and testing procedures, metrics, potentially discriminatory impacts"),
    ("2(h)", "cybersecurity measures put in place"),
    ("3", "monitoring, functioning and control: capabilities and limitations, accuracy for groups, input data"),
    ("4", "appropriateness of the performance metrics"),
    ("5", "risk management system in accordance with Article 9"),
    ("6", "relevant changes made by the provider to the system through its lifecycle"),
    ("7", "harmonised standards applied"),
    ("8", "copy of the EU declaration of conformity referred to in Article 47"),
    ("9", "system to evaluate performance in the post-market phase in accordance with Article 72"),
)
"""Point -> what it asks for, in the order of Annex IV."""


def annex_point(citation: str) -> str | None:
    """Return the point that a citation such as `Annex IV(2)(d)` names, as `2(d)`; None where it names an article."""
    if not citation.startswith("Annex IV("):
        return None
    return citation.removeprefix("Annex IV(").replace(")", "", 1)
