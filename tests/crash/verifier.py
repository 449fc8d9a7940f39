# SPDX-License-Identifier: Apache-2.0
"""What a broker owes, and what it did: a history goes in, losses come out.

A history is what the clients saw, one event after the other; an event is a dict with "t" (seconds),
"what", mostly "who" (the client), and what else the table in README.md says. The verifier opens no
socket and reads no clock, so a history of five lines tries a check (verifier_test.py), and a recorded
one is judged again with `torture --verify`.

It keeps, for each client, the session that the broker must have: whether it is durable, which
subscriptions were granted, which messages are owed. In doubt nothing is owed. A message is owed to a
session when it was acknowledged, and a subscription of QoS 1 or 2 was granted before it was first
sent and was not given up before it came. What is owed is judged when all is quiet (event "settled").
"""

import collections
import functools

NEVER = 0xFFFFFFFF  # a session expiry: the session never ends by itself
EARLY_SECONDS, LATE_SECONDS = 0.5, 2.5  # how far from a deadline what happens is beyond doubt on a quick machine
LASTING_SECONDS = 600  # a message that expires later than this is owed like one that never does

# Each kind of loss, and what it says of the broker.
KINDS = {
    "missing": "an acknowledged message never came to a session it was owed to",
    "subscription": "an acknowledged subscription was gone after a restart",
    "session": "a durable session was gone",
    "twice": "a QoS 2 message came twice within a session",
    "repeat": "a message came again on a connection, though it was sent once",
    "order": "messages of one publisher and topic came in another order",
    "retained": "a retained value was older than the last acknowledged, or gone",
    "cleared": "a retained value was back after it was acknowledged as cleared",
    "ended": "a session was back, or sent messages, after its end was acknowledged",
    "expired session": "a session was back after its expiry",
    "expired message": "a message was first sent to a client after its expiry",
    "unsubscribed": "a message came that was sent after the UNSUBACK of its filter",
    "qos": "a message came with another QoS than publisher and subscription make",
    "will": "a will that was due did not fire",
    "will twice": "a will fired twice",
    "will wrong": "a will fired though its client was back in time or had said goodbye",
    "foreign": "a message came that nobody sent, or damaged",
    "stalled": "a flow was not finished although nothing else was going on",
    "refused": "the broker refused what it must accept",
    "died": "the broker ended by itself",
    "no start": "the broker did not start again",
}


@functools.lru_cache(maxsize=100000)
def matches(topic_filter, topic):
    """Whether a filter matches a topic; both well-formed, none begins with $."""
    filters, levels = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(filters):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(filters) == len(levels)


class Message:
    def __init__(self, event, index, life):
        self.key = (event["who"], event["seq"])
        self.topic, self.qos = event["topic"], event["qos"]
        self.expiry = event.get("expiry")
        self.first_index, self.life = index, life
        self.last_sent = event["t"]
        self.times_sent = 1
        self.is_acked = False

    def is_owed(self):
        return self.expiry is None or self.expiry >= LASTING_SECONDS


class Subscription:
    def __init__(self, topic_filter, qos):
        self.filter, self.qos = topic_filter, qos
        self.granted_index = None  # None: asked for, nothing promised
        self.granted_life = None
        self.is_leaving = False
        self.lives = set()  # in which something that was sent in them came

    def covers_from(self, index):
        return self.granted_index is not None and self.granted_index < index and not self.is_leaving and self.qos > 0


class Stream:
    """What one session got of one publisher on one topic."""

    def __init__(self):
        self.highest = -1
        self.connection_of = {}  # sequence number: the connection on which it came last
        self.resent = (0, -1)  # connection, highest sequence number that was sent again on it


class Session:
    def __init__(self, client, expiry):
        self.client, self.expiry = client, expiry
        self.subscriptions = {}
        self.left = {}  # filter: index of its UNSUBACK
        self.owed = {}  # message key: (message, subscription)
        self.streams = collections.defaultdict(Stream)
        self.connection = 0
        self.away_since = self.away_latest = None  # its last connection ended at some time between

    def subscription_for(self, topic):
        return next((s for s in self.subscriptions.values() if matches(s.filter, topic)), None)

    def has_got(self, message):
        return message.key[1] in self.streams[(message.key[0], message.topic)].connection_of


class Will:
    """A will. must: whether it has to fire, None as long as both is right."""

    def __init__(self, event):
        self.key = (event["who"] + ".will", event["will"]["seq"])
        self.delay = event["will"]["delay"]
        self.is_durable = event["expiry"] > 0
        self.closed = None  # when its connection ended
        self.counted_from = None  # the same, or the broker's start thereafter
        self.must = None
        self.is_settled = True  # nothing that comes changes the verdict; so it is before the CONNACK
        self.fired = 0


class Client:
    def __init__(self):
        self.session = None
        self.connect = None  # the last CONNECT
        self.is_connecting = False  # it has no CONNACK
        self.may_exist = False  # a session may have been made by a CONNECT without CONNACK
        self.will = None
        self.past_filters = set()  # of sessions that ended
        self.has_said_goodbye = False


class Retained:
    """One topic, one publisher: the last acknowledged value, and those sent since."""

    def __init__(self):
        self.publisher = None
        self.acked = (-1, True)  # sequence number, whether it clears
        self.sent = []
        self.probed = [self.acked]  # what a probe may find: what was acknowledged when it began, and all sent later
        self.found = None  # the sequence number it did find

    def send(self, value):
        self.sent.append(value)
        self.probed.append(value)

    def acknowledge(self, seq):
        self.acked = next((value for value in self.sent if value[0] == seq), self.acked)
        self.sent = [value for value in self.sent if value[0] > self.acked[0]]

    def begin_probe(self):
        self.probed, self.found = [self.acked, *self.sent], None

    def is_good(self):
        if self.found is None:
            return any(is_clear for _, is_clear in self.probed)
        return (self.found, False) in self.probed


class Finding:
    def __init__(self, kind, event, text, key=None, who=None):
        self.kind, self.t, self.text = kind, event["t"], text
        self.key, self.who = key, who  # the message and the client concerned


class Verifier:
    def __init__(self):
        self.clients = collections.defaultdict(Client)
        self.messages = {}
        self.retained = collections.defaultdict(Retained)
        self.wills = {}
        self.prober = None  # the client that looks at all retained topics
        self.index = 0
        self.life = 0
        self.early, self.late = EARLY_SECONDS, LATE_SECONDS
        self.findings = []
        self.counts = collections.Counter()

    def feed(self, event):
        self.index += 1
        self.counts[event["what"]] += 1
        getattr(self, "on_" + event["what"])(event)

    def find(self, kind, event, text, key=None, who=None):
        self.findings.append(Finding(kind, event, text, key, who or event.get("who")))

    def on_stall(self, event):
        """The clients themselves were stopped for so long: no deadline is surer than that."""
        self.early = max(self.early, EARLY_SECONDS + event["seconds"])
        self.late = max(self.late, LATE_SECONDS + event["seconds"])

    # The broker.

    def on_start(self, event):
        self.life += 1
        for will in self.wills.values():
            if not will.is_settled and will.closed is not None:
                will.counted_from = event["t"]

    def on_kill(self, event):
        """All connections are lost already; a will of a session that is not stored may die with the broker."""
        for will in self.wills.values():
            if not will.is_durable and not will.is_settled:
                will.must, will.is_settled = None, True

    def on_died(self, event):
        self.find("died", event, event["text"])
        self.on_kill(event)

    def on_nostart(self, event):
        self.find("no start", event, event["text"])

    def on_refused(self, event):
        self.find("refused", event, event["text"])

    def on_stalled(self, event):
        self.find("stalled", event, event["text"])

    # Sessions.

    def on_connect(self, event):
        client = self.clients[event["who"]]
        client.connect, client.is_connecting = event, True
        if event["clean"]:
            self.end_session(client)
        if event.get("will"):
            will = Will(event)
            self.wills[will.key] = will

    def end_session(self, client):
        if client.session:
            client.past_filters.update(client.session.subscriptions, client.session.left)
        client.session = None

    def on_connack(self, event):
        client = self.clients[event["who"]]
        connect = client.connect
        self.return_of_will(client, event)
        self.check_presence(client, event)
        if client.session is None:
            client.session = Session(event["who"], connect["expiry"])
        client.session.connection += 1
        client.session.away_since = client.session.away_latest = None
        client.is_connecting = client.may_exist = client.has_said_goodbye = False
        if connect.get("will"):
            client.will = self.wills[(connect["who"] + ".will", connect["will"]["seq"])]
            client.will.is_settled = False

    def check_presence(self, client, event):
        """Compare "session present" with what must be; a session that is gone ends here."""
        session, connect = client.session, client.connect
        if session is None:
            if event["present"] and (connect["clean"] or not client.may_exist):
                self.find("ended", event, "CONNACK says that there is a session")
        elif event["present"]:
            away = connect["t"] - session.away_latest
            if session.expiry != NEVER and away > session.expiry + self.late:
                self.find("expired session", event, f"back after {away:.1f} s, expiry {session.expiry} s")
        else:
            away = event["t"] - session.away_since
            if session.expiry == NEVER or away < session.expiry - self.early:
                self.find("session", event, f"gone after {away:.1f} s; {len(session.owed)} messages were owed to it")
                self.judge_owed(session, event, is_gone=True)
            self.end_session(client)

    def on_disconnect(self, event):
        self.clients[event["who"]].has_said_goodbye = True

    def on_lost(self, event):
        """A connection is over, whoever ended it. Also told of one that never got its CONNACK."""
        client = self.clients[event["who"]]
        session, will = client.session, client.will
        if client.is_connecting:
            self.lose_connecting(client, event)
        elif session:
            session.away_since = session.away_latest = event["t"]
            if session.expiry == 0:
                self.end_session(client)
        if will and will.closed is None:
            will.closed = will.counted_from = event["t"]
            if not client.has_said_goodbye:
                will.must = True

    def lose_connecting(self, client, event):
        """The broker may have taken the CONNECT, or not."""
        client.is_connecting = False
        client.may_exist = client.may_exist or client.connect["expiry"] > 0
        if client.session:
            client.session.away_latest = event["t"]
        if client.will and client.will.delay:
            client.will.must, client.will.is_settled = None, True

    # Subscriptions.

    def on_subscribe(self, event):
        session = self.clients[event["who"]].session
        session.subscriptions.setdefault(event["filter"], Subscription(event["filter"], event["qos"]))

    def on_suback(self, event):
        subscription = self.clients[event["who"]].session.subscriptions[event["filter"]]
        if event["qos"] != subscription.qos:
            self.find("refused", event, f"{event['filter']} was granted QoS {event['qos']}")
            subscription.qos = event["qos"] if event["qos"] < 3 else 0
        if subscription.granted_index is None or subscription.is_leaving:
            subscription.granted_index, subscription.granted_life = self.index, self.life
        subscription.is_leaving = False

    def on_unsubscribe(self, event):
        session = self.clients[event["who"]].session
        subscription = session.subscriptions.get(event["filter"])
        if subscription:
            subscription.is_leaving = True
            session.owed = {k: v for k, v in session.owed.items() if v[1] is not subscription}

    def on_unsuback(self, event):
        session = self.clients[event["who"]].session
        session.subscriptions.pop(event["filter"], None)
        session.left[event["filter"]] = self.index

    # Messages in.

    def on_publish(self, event):
        key = (event["who"], event["seq"])
        message = self.messages.get(key)
        if message:
            message.times_sent += 1
            message.last_sent = event["t"]
            return
        self.messages[key] = Message(event, self.index, self.life)
        if event.get("retain"):
            self.retained[event["topic"]].publisher = event["who"]
            self.retained[event["topic"]].send((event["seq"], event.get("clear", False)))

    def on_acked(self, event):
        """how: puback, pubrec or pubcomp. A PUBREC binds where the publisher's session outlives its connection."""
        message = self.messages[(event["who"], event["seq"])]
        if event["how"] != "pubrec" and message.topic in self.retained:
            self.retained[message.topic].acknowledge(event["seq"])
        session = self.clients[event["who"]].session
        if event["how"] == "pubrec" and not (session and session.expiry):
            return
        if message.is_acked or message.qos == 0:
            return
        message.is_acked = True
        if not message.is_owed():
            return
        for client in self.clients.values():
            self.owe(client.session, message)

    def owe(self, session, message):
        if session is None:
            return
        for subscription in session.subscriptions.values():
            if subscription.covers_from(message.first_index) and matches(subscription.filter, message.topic):
                if not session.has_got(message):
                    session.owed[message.key] = (message, subscription)
                return

    # Messages out.

    def on_deliver(self, event):
        key = (event["from"], event["seq"])
        if event["retain"] or event["who"] == self.prober:
            self.note_retained(event)  # what is set while the probe looks comes to it live, in place of what was there
        if event["retain"]:
            return
        if key in self.wills:
            self.deliver_will(self.wills[key], event)
            return
        message = self.messages.get(key)
        session = self.clients[event["who"]].session
        if message is None or session is None or message.topic != event["topic"]:
            self.find("foreign", event, f"{key} on {event['topic']}", key)
            return
        session.owed.pop(key, None)
        subscription = session.subscription_for(message.topic)
        self.check_covered(session, subscription, message, event)
        if message.expiry is not None and not event["dup"]:
            late = event["t"] - message.last_sent - message.expiry
            if late > self.late:
                self.find("expired message", event, f"{key} came {late:.1f} s after its expiry", key)
        if subscription:
            subscription.lives.add(message.life)
            qos = min(message.qos, subscription.qos)
            if event["qos"] != qos:
                self.find("qos", event, f"{key} came with QoS {event['qos']}, not {qos}", key)
        self.check_order(session, message, event)

    def check_covered(self, session, subscription, message, event):
        if subscription:
            return
        left = [at for topic_filter, at in session.left.items() if matches(topic_filter, message.topic)]
        if any(at > message.first_index for at in left):
            return
        past = self.clients[event["who"]].past_filters
        is_of_past = not left and any(matches(topic_filter, message.topic) for topic_filter in past)
        self.find("ended" if is_of_past else "unsubscribed", event, f"{message.key} on {message.topic}", message.key)

    def check_order(self, session, message, event):
        key, seq = message.key, event["seq"]
        stream = session.streams[(event["from"], event["topic"])]
        was_sent_once = message.times_sent == 1 or message.qos == 2
        # Of one that was sent again the first copy may have expired, and those behind it have not.
        may_be_late = not was_sent_once and (
            message.expiry is not None or event["qos"] == 0 or not message.is_owed())
        if seq not in stream.connection_of:
            if seq < stream.highest and not may_be_late:
                self.find("order", event, f"{key} came after {stream.highest}", key)
        elif event["qos"] == 2:
            self.find("twice", event, f"{key}", key)
        elif was_sent_once and (stream.connection_of[seq] == session.connection or event["qos"] == 0):
            self.find("repeat", event, f"{key}", key)
        if event["dup"] and was_sent_once:
            connection, highest = stream.resent
            if connection == session.connection and seq <= highest:
                self.find("order", event, f"{key} was sent again after {highest}", key)
            stream.resent = (session.connection, max(seq, highest) if connection == session.connection else seq)
        stream.highest = max(stream.highest, seq)
        stream.connection_of[seq] = session.connection

    def on_damaged(self, event):
        self.find("foreign", event, event["text"])

    # Retained values: between "probe" and "probed" a new client looks at all of them.

    def on_probe(self, event):
        self.prober = event["who"]
        for value in self.retained.values():
            value.begin_probe()

    def note_retained(self, event):
        value = self.retained.get(event["topic"])
        if event["who"] == self.prober and value and value.found is None:
            value.found = event["seq"]

    def probe_misses(self):
        """Whether a value must still be found."""
        return not all(value.is_good() for value in self.retained.values() if value.found is None)

    def on_probed(self, event):
        for topic, value in self.retained.items():
            if value.is_good():
                continue
            acked, was_cleared = value.probed[0]
            is_back = was_cleared and value.found is not None and value.found < acked
            self.find("cleared" if is_back else "retained", event,
                      f"{topic}: {value.found} was found, {acked} was acknowledged", (value.publisher, acked))
        self.prober = None

    # Wills.

    def return_of_will(self, client, event):
        """A client is back: what does that say of the will of its last connection?"""
        connect, will, client.will = client.connect, client.will, None
        if will is None or will.is_settled:
            return
        will.is_settled = True
        if client.has_said_goodbye:
            # Nothing acknowledges a DISCONNECT: certain only if the same broker life took the next CONNECT.
            is_same_life = will.counted_from == will.closed
            will.must = False if is_same_life else None
        elif will.must and will.delay:
            if connect["clean"] or event["t"] < will.counted_from + will.delay + self.late:
                is_early = event["t"] < will.closed + will.delay - self.early and not connect["clean"]
                will.must = False if is_early else None
        if will.must is False and will.fired:
            self.find("will wrong", event, f"{will.key}", will.key)

    def deliver_will(self, will, event):
        will.fired += 1
        if will.fired > 1:
            self.find("will twice", event, f"{will.key}", will.key)
        elif will.must is False or (will.closed is None and not will.is_settled):
            self.find("will wrong", event, f"{will.key}", will.key)

    # The end of a stretch.

    def outstanding(self, t):
        """How much must still come before all is settled."""
        owed = sum(len(c.session.owed) for c in self.clients.values() if c.session)
        return owed + sum(1 for will in self.wills.values() if self.is_due(will, t) is not False)

    def is_due(self, will, t):
        """True: it should have fired. None: it will have to. False: nothing is awaited."""
        if not will.must or will.fired:
            return False
        if will.is_settled:
            return True
        return True if t > will.counted_from + will.delay + self.late else None

    def on_settled(self, event):
        for client in list(self.clients.values()):
            if client.session and client.session.away_since is None:
                self.judge_owed(client.session, event)
        for will in list(self.wills.values()):
            if self.is_due(will, event["t"]):
                self.find("will", event, f"{will.key}, delay {will.delay} s", will.key, will.key[0][:-5])
                will.must = None

    def judge_owed(self, session, event, is_gone=False):
        gone = set()
        for message, subscription in session.owed.values():
            is_old = subscription.granted_life < message.life
            if is_old and not is_gone and message.life not in subscription.lives:
                if (subscription, message.life) not in gone:
                    self.find("subscription", event, f"{subscription.filter}", message.key, session.client)
                gone.add((subscription, message.life))
            self.find("missing", event, f"{message.key} on {message.topic}, QoS {message.qos}, owed to "
                      f"{session.client} by {subscription.filter}", message.key, session.client)
        session.owed.clear()
