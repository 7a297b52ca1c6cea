"""Fills a Feast repository and asks it: `feast_client.py SINCE AS_OF SPINE HISTORY ONLINE` in its folder.

`feast apply` and `feast materialize` are given as on the command line, but in this process: to import Feast takes
seconds, three times.
SPINE holds entity rows with `event_timestamp`. HISTORY gets their features as of each row's time, ONLINE those of the
online store for rows without a null key.
"""

import sys

import pandas as pd
import pyarrow.parquet as pq
from feast import FeatureStore
from feast.cli.cli import cli

since, as_of, spine_path, history_path, online_path = sys.argv[1:]
for command in (["apply"], ["materialize", since, as_of]):
    cli(command, standalone_mode=False)
store = FeatureStore(".")
features = [f"{view.name}:{field.name}" for view in store.list_feature_views() for field in view.features]
spine = pd.read_parquet(spine_path)
pq.write_table(store.get_historical_features(spine, features).to_arrow(), history_path)
keys = spine.drop(columns=["event_timestamp", "row"]).dropna()
told = store.get_online_features(features=features, entity_rows=keys.to_dict("records")).to_arrow()
pq.write_table(told.append_column("row", [spine.loc[keys.index, "row"].to_list()]), online_path)
