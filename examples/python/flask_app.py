"""A Flask app that the public can reach: it answers in this process, and no port is opened.

    python flask_app.py https://tunnel.example.com TOKEN_FILE [CA_FILE]
"""
import sys

import flask

import tunnel2

app = flask.Flask(__name__)


@app.get("/")
def index() -> str:
    """url_for knows below which path the public finds the app."""
    return f"hello {flask.request.remote_addr}, see {flask.url_for('count', n=3)}\n"


@app.get("/count/<int:n>")
def count(n: int) -> flask.Response:
    """Streamed: each line is sent as it is made."""
    return flask.Response((f"{i}\n" for i in range(n)), mimetype="text/plain")


def main(server: str, token_file: str, ca_file: "str | None" = None) -> None:
    with tunnel2.serve(app, server=server, token_file=token_file, ca_file=ca_file) as t:
        print(t.url, flush=True)
        t.wait()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
