"""A project's declarations tried on tiny frames in memory: what a test of a project reads like.

```python
from ml_assets import testing

project = testing.project()

def test_a_courier_who_was_late_is_known_for_it():
    parcels = [{"courier": "dan", "arrived_at": "2024-03-01T10:00", "late": True}]
    features = project.given("parcels/validated", parcels).features("courier", at="2024-03-02", courier="dan")
    assert features["late_mean_7d"] == 1.0
```
"""

from ml_assets.testing.given import GivenProject
from ml_assets.testing.opening import project
from ml_assets.testing.verdict import ContractVerdict

__all__ = ["ContractVerdict", "GivenProject", "project"]
