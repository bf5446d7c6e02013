#!/usr/bin/python3
"""Two of us meet at a real relay: ./meeting.py RELAY_BINARY. The last line is `N passed, N failed`."""
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py")


def free(ip):
    """An address to come back to: below the ports that Linux gives to outgoing connections."""
    while True:
        place = (ip, random.randint(15000, 32767))
        with socket.socket() as probe:
            try:
                probe.bind(place)
                return "%s:%d" % place
            except OSError:
                pass


class Meeting:
    """One relay and the people who live there."""

    def __init__(self, binary, folder, ip="127.0.0.1", *flags):
        self.binary, self.folder, self.passed, self.failed = binary, folder, 0, 0
        self.relay, self.flags = None, flags
        self.place = free(ip)

    def serve(self):
        log = open(os.path.join(self.folder, "relay.log"), "ab")
        self.relay = subprocess.Popen([self.binary, "serve", "--listen", self.place, "--data", self.folder + "/data",
                                       *self.flags],
                                      stdout=log, stderr=log)
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{self.place}/api/1/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the relay does not start")

    def stop(self):
        self.relay.kill()
        self.relay.wait()

    def claim(self):
        return subprocess.run([self.binary, "claim", "--data", self.folder + "/data", "--link", "http://" + self.place],
                              capture_output=True, text=True, check=True).stdout.strip()

    def start(self, who, *words):
        return subprocess.Popen([sys.executable, CLIENT, "--state", f"{self.folder}/{who}.json", *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def due(self, name, process, code=0, part=""):
        out, err = process.communicate(timeout=120)
        fine = process.returncode == code and part in out
        self.passed, self.failed = self.passed + fine, self.failed + (not fine)
        print(("ok     " if fine else "FAILED ") + name + ("" if fine else f": {process.returncode} {out!r} {err!r}"))
        return out.strip()

    def step(self, name, who, *words, code=0, part=""):
        return self.due(name, self.start(who, *words), code, part)


def evening(m):
    m.step("anna claims", "anna", "join", m.claim(), "Anna", "anna", part="joined")
    link = m.step("anna invites", "anna", "invite", part="/i/")
    wait = m.start("anna", "listen", "--seconds", "12")
    m.step("bela joins and is accepted", "bela", "join", link, "Béla", "bela", "--seconds", "20", part="joined")
    m.due("anna has answered", wait)
    m.step("the link is spent", "carl", "join", link, "Carl", "carl", code=2)
    m.step("anna's friend", "anna", "friends", part="bela friend confirmed Béla")
    m.step("bela's friend", "bela", "friends", part="anna friend confirmed Anna")
    m.step("a text to who is away", "anna", "say", "good evening 🐻")
    m.step("is read later", "bela", "wait-for", "evening", "--seconds", "10", part="good evening 🐻")
    m.step("and its author knows", "anna", "wait-read", "--seconds", "10", part="read")
    one, other = m.start("anna", "chat", "from A"), m.start("bela", "chat", "from B")
    m.due("both at once: anna", one, part="from B")
    m.due("both at once: bela", other, part="from A")
    m.step("before the end", "bela", "say", "still there")
    m.stop()
    m.serve()
    m.step("after kill -9 of the relay", "anna", "wait-for", "still", "--seconds", "10", part="still there")
    m.step("nothing comes twice", "bela", "wait-for", "evening", "--seconds", "3", code=1)


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Meeting(os.path.abspath(sys.argv[1]), folder)
        meeting.serve()
        try:
            evening(meeting)
        finally:
            meeting.stop()
    print(f"{meeting.passed} passed, {meeting.failed} failed")
    return 1 if meeting.failed else 0


if __name__ == "__main__":
    sys.exit(main())
