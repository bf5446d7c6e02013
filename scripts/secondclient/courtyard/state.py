"""What a person keeps between two runs: one JSON file, mode 0600, replaced as a whole."""
import fcntl
import json
import os

from .strict import Refusal, parse

EMPTY = {"cursor": 0, "vaultVersion": 0, "seqs": {}, "clocks": {}, "log": [], "sent": [], "owed": [], "chains": {}}
SENT = 200


class State:
    def __init__(self, path, value):
        self.path, self.value = path, value
        self._lock = os.open(path + ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise Refusal("this state is in use") from problem

    @classmethod
    def fresh(cls, path):
        if os.path.exists(path):
            raise FileExistsError(path)
        return cls(path, json.loads(json.dumps(EMPTY)))

    @classmethod
    def load(cls, path):
        state = cls(path, {})
        with open(path, "rb") as file:
            state.value = parse(file.read(), 1 << 26)
        return state

    def save(self):
        self.value["sent"] = self.value["sent"][-SENT:]
        beside = self.path + ".new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.value, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def discard(self):
        os.unlink(self.path)

    def __getitem__(self, name):
        return self.value[name]

    def __setitem__(self, name, item):
        self.value[name] = item

    def get(self, name, other=None):
        return self.value.get(name, other)
