"""Feast's online server. `feast_server.py fill FOLDER SINCE UNTIL`, then `feast_server.py serve FOLDER PORT`

`fill` is `feast apply` and `feast materialize`, `serve` is `feast serve` with one worker that never starts anew.
"""

import os
import sys

os.environ["FEAST_USAGE"] = "False"
what, folder, *arguments = sys.argv[1:]
os.chdir(folder)
if what == "fill":
    from feast.cli.cli import cli

    for command in (["apply"], ["materialize", *arguments]):
        cli(command, standalone_mode=False)
else:
    from feast import FeatureStore

    FeatureStore(".").serve("127.0.0.1", int(arguments[0]), workers=1, max_requests=0, max_requests_jitter=0)
