"""Stands in for systemd: keeps the sockets, and starts programs that get them as LISTEN_FDS (sd_listen_fds(3))."""
import socket
import sys

# Puts the descriptors where they are expected, and becomes the program.
PLACE = ("import os,sys;fds=list(map(int,sys.argv[1].split(',')));"
         "high=[os.dup2(os.dup(fd),100+i,True) for i,fd in enumerate(fds)];"
         "[os.dup2(fd,3+i,True) for i,fd in enumerate(high)];"
         "os.environ['LISTEN_PID']=str(os.getpid());os.execv(sys.argv[2],sys.argv[2:])")


class Activation:
    """Of a proxyentry."""

    NAMES = ("public", "uplink", "admin")

    def __init__(self):
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in self.NAMES]

    def start(self, site, *arguments):
        numbers = [s.fileno() for s in self.sockets]
        program = site.start(
            "proxyentry", *site.common("--control", f"https://{site.control}", "--entry-id", "east",
                                       "--admin", "127.0.0.1:0", *arguments),
            environment={"LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": ":".join(self.NAMES)},
            prefix=[sys.executable, "-c", PLACE, ",".join(map(str, numbers))], pass_fds=numbers)
        program.ready = program.event("ready")
        site._note_entry(program)
        return program

    def close(self):
        for sock in self.sockets:
            sock.close()
