"""Starlette alone: reads the JSON and answers a constant. `no_model.py PORT`"""

import sys

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route


async def answer(request):
    orjson.loads(await request.body())
    return Response(b'{"predictions":[{"score":0.5,"prediction":true}]}', media_type="application/json")


async def ready(_):
    return Response()


app = Starlette(routes=[Route("/predict", answer, methods=["POST"]), Route("/ready", ready)])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
