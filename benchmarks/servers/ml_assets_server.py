"""`ml-assets serve` of what a file of settings says. `ml_assets_server.py PORT SETTINGS`"""

import sys
from pathlib import Path

from ml_assets.commands.serving.serve import ServeSettings, serve_models
from ml_assets.serving.http.transport.guarded import ConnectionLimits

settings = ServeSettings.model_validate_json(Path(sys.argv[2]).read_text())
serve_models(settings, "127.0.0.1", int(sys.argv[1]), ConnectionLimits())
