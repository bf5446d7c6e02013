#!/usr/bin/python3
"""Command line of the second client."""
import argparse
import sys
import time

from courtyard import finger
from courtyard.api import Problem
from courtyard.joining import join
from courtyard.person import Person
from courtyard.state import State
from courtyard.strict import Refusal, decode, encode, need
from courtyard.talk import Talk


def report(text):
    print(text, file=sys.stderr)


def is_text(part, friend=None):
    def wanted(entry):
        return (entry["type"] == "chat" and entry["kind"] == "text" and part in str(entry["body"].get("text"))
                and (friend is None or entry["peer"] == friend["uid"]))
    return wanted


def do_join(options):
    state = State.fresh(options.state)
    person, invite = join(state, options.link, options.name, options.username, report)
    talk = Talk(person, report)
    try:
        if invite is not None:
            accepted = talk.wait(lambda e: e["type"] == "friend" and e["kind"] == "accept", options.seconds)
            if accepted is None:
                print("joined; no answer yet")
                return 1
        print("joined")
        return 0
    finally:
        talk.close()


def with_talk(action):
    def run(options):
        talk = Talk(Person(State.load(options.state)), report)
        try:
            return action(talk, options)
        finally:
            talk.close()
    return run


def answer(talk, entry):
    """Prints a text that came and tells its author."""
    if entry is None:
        report("nothing came")
        return 1
    print(entry["body"]["text"])
    talk.read(entry)
    return 0


def do_say(talk, options):
    talk.say(decode(talk.person.named(options.to)["uid"], 32), options.text)
    return 0


def became(talk, text):
    """What became of a text one wrote: a code, `kept` there for somebody without a home, `there`, or `waits`."""
    sent = next((item for item in reversed(talk.state["sent"])
                 if text in (item["body"].get("text"), item["body"].get("words"))), None)
    need(sent is not None, "nobody wrote that")
    if "returned" in sent or "carried" in sent:
        return sent.get("returned") or sent["carried"]
    return "waits" if any(row.get("id") == sent["id"] for row in talk.person.api.outbound()) else "there"


def do_became(talk, options):
    until = time.monotonic() + options.seconds
    while became(talk, options.text) not in options.due and time.monotonic() < until:
        talk.wait(lambda entry: False, 0.5)
    print(became(talk, options.text))
    return 0 if became(talk, options.text) in options.due else 1


def do_returned(talk, options):
    entry = talk.wait(lambda e: e["type"] == "returned", options.seconds)
    if entry is None:
        report("nothing came back")
        return 1
    sent = next((item for item in talk.state["sent"] if item["id"] == entry["body"]["id"]), None)
    if sent is None:
        print(entry["body"]["code"], "a letter that is not known here")
    else:
        print(entry["body"]["code"], sent["kind"], sent["body"].get("text", ""))
    return 0


def do_invited(talk, options):
    uid = talk.friends.invited(options.link)
    accepted = talk.wait(lambda entry: (entry["type"], entry["kind"], entry["author"]) == ("friend", "accept", uid),
                         options.seconds)
    print("friends" if accepted else "no answer yet")
    return 0 if accepted else 1


def do_ask(talk, options):
    talk.friends.ask(options.handle, options.words)
    return 0


def do_agree(talk, options):
    talk.friends.agree(options.username)
    return 0


def do_contact(talk, options):
    friend = next((f for f in talk.person.content["friends"] if f["username"] == options.username), None)
    need(friend is not None, "nobody of that name")
    talk.person.api.contact(decode(friend["uid"], 32), options.what)
    return 0


def do_finger(options):
    uid, address = finger.ask(options.handle)
    print(encode(uid), address.dialled)
    return 0


def do_wait(talk, options):
    return answer(talk, talk.wait(is_text(options.text), options.seconds))


def do_wait_read(talk, options):
    entry = talk.wait(lambda e: e["type"] == "chat" and e["kind"] == "read", options.seconds)
    print("read" if entry else "not read")
    return 0 if entry else 1


def do_chat(talk, options):
    friend = talk.person.named(options.to)
    talk.say(decode(friend["uid"], 32), options.text)
    return answer(talk, talk.wait(is_text("", friend), options.seconds))


def do_invite(talk, _):
    print(talk.friends.invite())
    return 0


def do_listen(talk, options):
    talk.wait(lambda entry: False, options.seconds)
    return 0


def do_friends(talk, _):
    for friend in talk.person.content["friends"]:
        print(friend["username"], friend["state"], "confirmed" if friend["confirmed"] else "", friend["name"],
              "at", friend["host"], friend["port"])
    return 0


def parser():
    top = argparse.ArgumentParser(description="A second client for the Courtyard protocol.")
    top.add_argument("--state", required=True, help="where this person is kept (made by join)")
    commands = top.add_subparsers(dest="command", required=True)

    def command(name, action, *arguments, seconds=None):
        made = commands.add_parser(name)
        for argument in arguments:
            made.add_argument(argument)
        if seconds is not None:
            made.add_argument("--seconds", type=float, default=seconds)
        made.set_defaults(action=action)
        return made

    command("join", do_join, "link", "name", "username", seconds=60)
    command("say", with_talk(do_say), "text").add_argument("--to")
    command("chat", with_talk(do_chat), "text", seconds=60).add_argument("--to")
    command("wait-for", with_talk(do_wait), "text", seconds=30)
    command("wait-read", with_talk(do_wait_read), seconds=30)
    command("invite", with_talk(do_invite))
    command("invited", with_talk(do_invited), "link", seconds=60)
    command("ask", with_talk(do_ask), "handle", "words")
    command("agree", with_talk(do_agree), "username")
    command("contact", with_talk(do_contact), "username", "what")
    command("finger", do_finger, "handle")
    command("returned", with_talk(do_returned), seconds=30)
    command("became", with_talk(do_became), "text", seconds=30).add_argument("--due", nargs="+", required=True)
    command("listen", with_talk(do_listen), seconds=30)
    command("friends", with_talk(do_friends))
    return top


def main():
    options = parser().parse_args()
    try:
        return options.action(options)
    except (Refusal, Problem, FileExistsError, FileNotFoundError) as failure:
        detail = getattr(failure, "params", None)
        report(f"{type(failure).__name__}: {failure}" + (f" {detail}" if detail else ""))
        return 2


if __name__ == "__main__":
    sys.exit(main())
