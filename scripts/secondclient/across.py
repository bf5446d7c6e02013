#!/usr/bin/python3
"""Two of us in two courtyards: ./across.py RELAY_BINARY. The last line is `N passed, N failed`."""
import os
import sys
import tempfile

from meeting import Meeting


def house(binary, folder, ip):
    os.makedirs(folder, exist_ok=True)
    made = Meeting(binary, folder, ip, "--reach", "127.0.0.0/8")
    made.serve()
    return made


def evening(east, west):
    east.step("anna claims", "anna", "join", east.claim(), "Anna", "anna", part="joined")
    west.step("wei claims", "wei", "join", west.claim(), "魏", "wei", part="joined")
    link = west.step("wei invites a guest of his own", "wei", "invite", part="/i/")
    wait = west.start("wei", "listen", "--seconds", "8")
    west.step("mei joins there", "mei", "join", link, "Mei", "mei", "--seconds", "20", part="joined")
    west.due("wei has answered", wait)

    # By handle.
    west.step("WebFinger knows anna", "mei", "finger", "anna@" + east.place, part=east.place)
    west.step("WebFinger does not know bela", "mei", "finger", "bela@" + east.place, code=2)
    west.step("mei asks anna by her handle", "mei", "ask", "anna@" + east.place, "shall we?")
    west.step("it has arrived there", "mei", "became", "shall we?", "--due", "kept", "there")
    west.stop()
    east.step("nobody can be asked who she is", "anna", "listen", "--seconds", "3")
    east.step("so anna is not told yet", "anna", "agree", "mei", code=2)
    west.serve()
    east.step("the request comes again", "anna", "listen", "--seconds", "5")
    east.step("from where mei lives, by a name that is hers", "anna", "friends", part="mei asks  Mei at 127.0.0.2")
    east.step("anna agrees", "anna", "agree", "mei")
    west.step("mei hears of it", "mei", "listen", "--seconds", "4")
    west.step("mei's friend", "mei", "friends", part="anna friend  Anna at 127.0.0.1")

    # By invite.
    link = east.step("anna invites", "anna", "invite", part="/i/")
    wait = east.start("anna", "listen", "--seconds", "10")
    west.step("wei, who lives elsewhere, takes it up", "wei", "invited", link, part="friends")
    east.due("anna has answered", wait)
    east.step("and is confirmed", "anna", "friends", part="wei friend confirmed 魏 at 127.0.0.2")
    west.step("on both sides", "wei", "friends", part="anna friend confirmed Anna at 127.0.0.1")
    west.step("an invite is taken up once", "mei", "invited", link, "--seconds", "1", code=2)

    # Talking.
    east.step("a text across", "anna", "say", "good evening 🐻", "--to", "wei")
    east.step("is kept there", "anna", "became", "good evening 🐻", "--due", "kept", "there")
    west.step("is read", "wei", "wait-for", "evening", "--seconds", "10", part="good evening 🐻")
    east.step("and its author knows", "anna", "wait-read", "--seconds", "10", part="read")
    one, other = east.start("anna", "chat", "from A", "--to", "wei"), west.start("wei", "chat", "from B", "--to", "anna")
    east.due("both at once: anna", one, part="from B")
    west.due("both at once: wei", other, part="from A")

    # The other courtyard dies.
    west.stop()
    east.step("written while it is away", "anna", "say", "are you there?", "--to", "wei")
    east.step("it waits", "anna", "became", "are you there?", "--due", "waits", "--seconds", "3")
    east.step("nobody to be asked about", "anna", "ask", "wei@" + west.place, "again", code=2)
    west.serve()
    east.step("it goes when it is back", "anna", "became", "are you there?", "--due", "kept", "there", "--seconds", "60")
    west.step("and comes once", "wei", "wait-for", "are you there?", "--seconds", "10", part="there?")
    west.step("not twice", "wei", "wait-for", "are you there?", "--seconds", "3", code=1)

    # Somebody who does not want to hear.
    west.step("mei blocks anna", "mei", "contact", "anna", "block")
    east.step("anna writes to mei", "anna", "say", "hello?", "--to", "mei")
    east.step("it comes back", "anna", "returned", part="not-contact text hello?")
    east.step("and stays so", "anna", "became", "hello?", "--due", "not-contact", part="not-contact")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        east = house(binary, folder + "/east", "127.0.0.1")
        west = house(binary, folder + "/west", "127.0.0.2")
        try:
            evening(east, west)
        finally:
            east.stop()
            west.stop()
    passed, failed = east.passed + west.passed, east.failed + west.failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
