"""Publishes a port of this machine until Ctrl-C.

    python forward.py 8000 https://tunnel.example.com TOKEN_FILE [CA_FILE]
"""
import sys

import tunnel2


def main(target: str, server: str, token_file: str, ca_file: "str | None" = None) -> None:
    with tunnel2.forward(target, server=server, token_file=token_file, ca_file=ca_file) as t:
        print(t.url, flush=True)
        t.wait()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except tunnel2.AuthError as error:
        sys.exit(f"the token was not accepted: {error.detail}")
    except tunnel2.Error as error:
        sys.exit(str(error))
