"""What happens to a tunnel: a line for each event, and the counters at the end.

    python events.py 8000 https://tunnel.example.com TOKEN_FILE [CA_FILE]
"""
import logging
import sys

import tunnel2


def main(target: str, server: str, token_file: str, ca_file: "str | None" = None) -> None:
    logging.basicConfig(level=logging.WARNING)  # the library's own log is the logger "tunnel2"
    with tunnel2.forward(target, server=server, token_file=token_file, ca_file=ca_file) as t:
        try:
            for event in t.events():
                where = event.entry or "the control plane"
                if event.type == "ready":
                    print("ready:", *event.urls, flush=True)
                elif event.type == "retrying":
                    print(f"{where}: {event.error}; again in {event.delay:.1f} s", flush=True)
                else:
                    print(event.type, event.reason or where, flush=True)
        except KeyboardInterrupt:
            print(t.stats(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
