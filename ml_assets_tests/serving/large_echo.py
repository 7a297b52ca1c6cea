"""A process that answers large requests by its own number: run this with the descriptor of its connection."""

import os
import sys
import time
from multiprocessing.connection import Connection

from ml_assets.serving.apart.answering import serve_connection
from ml_assets.serving.apart.messages import Reply


class Echo:
    """Answers with the number of the process, `slow` never."""

    def answer(self, _, body):
        if body == b"slow":
            time.sleep(60)
        return Reply(), b"%d" % os.getpid(), lambda: None

    def counted(self):
        return Reply()

    def close(self):
        pass


if __name__ == "__main__":
    serve_connection(Connection(int(sys.argv[1])), lambda _: Echo())
