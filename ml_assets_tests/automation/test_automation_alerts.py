"""The sensor that looks at rules of alerts."""

import dagster as dg

from ml_assets.alerts.store import open_alerts
from ml_assets.automation.sensors.alerts import alert_sensor
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource
from ml_assets_tests.alerts.test_alerts_sending import Receiver
from ml_assets_tests.observations.test_observations import source, store


def test_the_sensor_judges_records_and_sends(tmp_path):
    lake, receiver = Lake(str(tmp_path)), Receiver("slack")
    store(lake, "orders/validated", {"2024-01": 6})
    store(lake, "orders/quarantine", {"2024-01": 2})
    rules = [{"name": "bad_rows", "evidence": "quarantine_share"}, {"name": "stuck", "evidence": "missing_share"}]
    sensor = alert_sensor([], [source(alerts=rules)], 30, lambda: [None, receiver])
    with dg.build_sensor_context(resources={"lake": LakeResource(root=str(tmp_path))}) as context:
        first, second = sensor(context), sensor(context)
    (alert,) = open_alerts(lake)
    assert (alert.about, alert.subject, alert.rule, alert.value) == ("source", "orders", "bad_rows", 0.25)
    assert receiver.taken == [("open", "orders: bad_rows began")]
    assert first.skip_message.startswith("1 changes of alerts, 2 notices; not judged: orders stuck:")
    assert second.skip_message.startswith("0 changes of alerts, 0 notices")
