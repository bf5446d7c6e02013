#!/usr/bin/python3
"""Runs the vectors of protocol/testdata against this client; the last line is `N passed, N failed`."""
import json
import os
import sys

from checks import basics, handshakes, kept, objects, relays, sealed, walls
from courtyard.strict import Refusal

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "protocol", "testdata")


class Tally:
    """Counts; a failure is printed and does not stop the rest."""

    def __init__(self):
        self.passed = self.failed = 0
        self.place = ""

    def _count(self, fine, name, detail=""):
        self.passed, self.failed = self.passed + fine, self.failed + (not fine)
        if not fine:
            print(f"FAILED {self.place}: {name} {detail}")

    def same(self, name, got, due):
        self._count(got == due, name, f"\n  got {got!r}\n  due {due!r}"[:600])

    def works(self, name, action):
        """The result of the action, or None."""
        try:
            result = action()
        except Exception as failure:  # whatever goes wrong is what the vectors are to show
            self._count(False, name, f"{type(failure).__name__}: {failure}")
            return None
        self._count(True, name)
        return result

    def refused(self, name, action):
        try:
            action()
        except Refusal:
            self._count(True, name)
        except Exception as failure:  # a refusal is due, not an accident
            self._count(False, name, f"{type(failure).__name__}: {failure}")
        else:
            self._count(False, name, "was accepted")


def main():
    tally = Tally()
    checks = {**basics.CHECKS, **objects.CHECKS, **sealed.CHECKS, **kept.CHECKS, **handshakes.CHECKS,
              **relays.CHECKS, **walls.CHECKS}
    for name in sorted(os.listdir(FOLDER)):
        stem, ending = os.path.splitext(name)
        if ending != ".json":
            continue
        tally.place = stem
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            vectors = json.load(file)
        tally.works("all of it", lambda: checks[stem](tally, vectors))
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
