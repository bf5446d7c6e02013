"""Section 9 from the newcomer's side: from a link to an account."""
from . import invite as invites
from . import primitives as p
from .api import Api, Problem
from .chain import Chain
from .friends import PASSING, owe
from .person import Person
from .strict import need, username as check_username


def join(state, link, name, username, report=print):
    """Makes the person at the relay. Gives (person, invite), the invite None after a claim."""
    check_username(username)
    found = invites.read_link(link)
    api = Api(found.address)
    relay = api.relay()
    if isinstance(found, invites.Claim):
        need(p.same(relay["key"], found.relay_key), "this is not the relay the link is for")
        person = _make(state, found.address, relay["key"], name, username, claim=found.token)
        return person, None
    shown = api.invite(found.id)
    need(p.same(shown["uid"], found.uid), "the relay names another inviter")
    chain = Chain.read(api.chain(found.uid), found.uid)
    need(found.head in chain.heads, "the inviter's chain does not contain the head in the link")
    need(p.same(relay["key"], chain.relay.key), "this is not the inviter's relay")
    card = invites.open_card(found, shown["card"])
    report(f"invited by {card.get('name')} ({shown['username']})")
    person = _make(state, found.address, relay["key"], name, username, invite=found.id)
    person.fetch_chain(found.uid)
    person.befriend(found.uid, shown["username"], str(card.get("name")), "asked", True)
    owe(state, "vault", found.uid)
    owe(state, "joined", found.uid, link=link)
    state.save()
    return person, found


def _make(state, address, relay_key, name, username, **permission):
    person = Person.create(state, address, relay_key, name, username)
    uek = person.next_uek()
    state.save()
    try:
        person.api.join(username, person.chain, uek, person.sealed_vault(1), **permission)
    except Problem as failure:
        if failure.code not in PASSING:
            state.discard()
        raise
    state["vaultVersion"] = 1
    state.save()
    return person
