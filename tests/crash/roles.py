# SPDX-License-Identifier: Apache-2.0
"""Who takes part in the load, and what each does with its time.

A role acts in plan(), which the load calls at the start of each life of the broker, and in on_up(), when
it is connected. While the load lets things settle (load.is_settling) all connect, nobody leaves, and
nothing new is published.
"""

from clients import Client, raw
from verifier import NEVER


class Role(Client):
    """Connects soon after the broker's start, and again when a connection ended."""

    def plan(self):
        self.load.after(self.load.random.uniform(0, 0.05), self.open)

    def come_back(self, seconds):
        self.load.after(seconds, self.open)

    def stay(self, low, high, action):
        """Call action after a while, if this same connection is still there then."""
        sock = self.sock
        self.load.after(self.load.random.uniform(low, high),
                        lambda: self.sock is sock and self.is_connected and not self.load.is_settling and action())

    def chance(self, probability):
        return self.load.random.random() < probability


class Publisher(Role):
    """Publishes in bursts on some topics; now and then its connection breaks."""

    def __init__(self, load, name, qos, topics, **options):
        super().__init__(load, name, **options)
        self.qos, self.topics = qos, topics

    def on_up(self):
        self.stay(0.005, 0.08, self.burst)
        if self.chance(0.15):
            self.stay(0.05, 1.0, self.break_off)

    def burst(self):
        for _ in range(self.load.random.randint(1, 12)):
            self.publish_one()
        self.pump()
        self.stay(0.01, 0.15, self.burst)

    def publish_one(self):
        self.publish(self.load.random.choice(self.topics), self.qos)

    def break_off(self):
        self.leave(False)
        self.come_back(self.load.random.uniform(0, 0.2))


class Retainer(Publisher):
    def publish_one(self):
        self.publish(self.load.random.choice(self.topics), self.qos, retain=True, clear=self.chance(0.1))


class Ephemeral(Publisher):
    """Its messages expire: soon, or so late that they never do here."""

    def publish_one(self):
        self.publish(self.load.random.choice(self.topics), self.qos, expiry=self.load.random.choice([1, 3600]))


class Subscriber(Role):
    """Connected whenever it can be. A slow one acknowledges late, in order."""

    def __init__(self, load, name, filters, is_slow=False, **options):
        super().__init__(load, name, **options)
        self.wanted = dict(filters)
        self.is_slow = is_slow

    def reset_connection(self):
        super().reset_connection()
        self.acks = b""

    def acknowledge(self, data):
        if not self.is_slow:
            self.send(data)
            return
        if not self.acks:
            sock = self.sock
            self.load.after(self.load.random.uniform(0.01, 0.1), lambda: self.sock is sock and self.send_acks())
        self.acks += data

    def send_acks(self):
        due, self.acks = self.acks, b""
        self.send(due)


class Guest(Subscriber):
    """A durable session whose client is away for most of the time."""

    def plan(self):
        if self.load.is_settling or self.chance(0.3):
            self.load.after(self.load.random.uniform(0, 0.6), self.open)

    def on_up(self):
        if self.chance(0.5):
            self.stay(0.05, 0.5, lambda: self.leave(self.chance(0.5)))


class Changer(Subscriber):
    """Subscribes and unsubscribes all the time."""

    def __init__(self, load, name, filters, **options):
        super().__init__(load, name, {}, **options)
        self.filters = filters

    def on_up(self):
        for topic_filter in [f for f in self.granted if f not in self.wanted]:
            self.unsubscribe(topic_filter)
        self.stay(0.02, 0.2, self.change)

    def change(self):
        pending = {topic_filter for _, topic_filter in self.asked.values()}
        topic_filter = self.load.random.choice(self.filters)
        if topic_filter not in pending and topic_filter in self.wanted:
            del self.wanted[topic_filter]
            self.unsubscribe(topic_filter)
        elif topic_filter not in pending and topic_filter not in self.granted:
            self.wanted[topic_filter] = self.filters.index(topic_filter) % 2 + 1
            self.subscribe(topic_filter)
        self.stay(0.02, 0.2, self.change)


class Ender(Subscriber):
    """Ends its session by a clean start now and then; the old one must not be back."""

    def __init__(self, load, name, filters, **options):
        super().__init__(load, name, filters, **options)
        self.filters = self.wanted

    def open(self):
        if self.sock:
            return
        if not self.clean:
            self.clean, self.expiry, self.wanted = False, NEVER, self.filters
            if self.chance(0.3):
                # Tried until a CONNACK confirms it.
                self.clean, self.expiry = True, NEVER if self.version == 5 and self.chance(0.5) else 0
                self.wanted = {}
        super().open()

    def on_up(self):
        if self.clean:
            self.clean = False
            self.stay(0, 0.1, lambda: self.leave(self.chance(0.5)))
        else:
            self.stay(0.1, 0.8, lambda: self.leave(self.chance(0.5)))

    def lose(self):
        had = self.sock
        super().lose()
        if had:
            self.come_back(self.load.random.uniform(0, 0.2))


class Mayfly(Subscriber):
    """Its session expires when it is away for long."""

    SECONDS = 4

    def __init__(self, load, name, filters):
        super().__init__(load, name, filters, expiry=self.SECONDS)
        self.away_until = 0

    def plan(self):
        wait = 0 if self.load.is_settling else self.away_until - self.load.now()
        self.load.after(max(wait, 0) + self.load.random.uniform(0, 0.05), self.open)

    def on_up(self):
        if self.chance(0.4):
            self.stay(0.05, 0.5, self.go)

    def go(self):
        seconds = self.load.random.choice([0.1, 1, 2 * self.SECONDS])
        self.away_until = self.load.now() + seconds
        self.leave(self.chance(0.5))
        self.come_back(seconds)


class Mortal(Role):
    """Has a will, and ends in all the ways."""

    def __init__(self, load, name, delay, **options):
        super().__init__(load, name, **options)
        self.delay, self.away_until = delay, 0

    def will(self):
        self.seq += 1
        return {"seq": self.seq, "topic": f"will/{self.name}", "qos": 2, "delay": self.delay}

    def plan(self):
        if self.chance(0.3):
            self.away_until = self.load.now() + self.delay + 3
        wait = 0 if self.load.is_settling else self.away_until - self.load.now()
        self.load.after(max(wait, 0) + self.load.random.uniform(0, 0.3), self.open)

    def on_up(self):
        if self.chance(0.5):
            self.stay(0.02, 0.6, self.go)

    def go(self):
        seconds = self.load.random.choice([0.05, 0.4, self.delay + 3])
        self.away_until = self.load.now() + seconds
        self.leave(self.chance(0.4))
        self.come_back(seconds)


class Prober(Role):
    """Looks at all retained topics, at each start, with a new clean session."""

    def __init__(self, load, name, filters):
        super().__init__(load, name, clean=True)
        self.filters = filters
        self.is_done = True

    def open(self):
        self.is_done, self.wanted = False, {}
        super().open()

    def on_up(self):
        self.note("probe")
        self.wanted = self.filters
        for topic_filter in self.wanted:
            self.subscribe(topic_filter)
        self.deadline = self.load.now() + 3
        self.load.after(0.05, self.look)

    def look(self):
        """Done when all is there and a PINGRESP came after it, or when the time is up."""
        if not self.is_connected:
            return
        if self.load.verifier.probe_misses() and self.load.now() < self.deadline:
            self.load.after(0.02, self.look)
        else:
            self.send(raw.packet(raw.PINGREQ))

    def on_packet(self, packet):
        super().on_packet(packet)
        if packet.kind == raw.PINGRESP and not self.is_done:
            self.note("probed")
            self.is_done = True
            self.leave(True)


def cast(load):
    """All who take part. Filters of one client never overlap."""
    all_t, kept = {"t/#": 1}, {"persist": 0}
    publishers = [
        Publisher(load, "pub1", 1, ["t/pub1/a", "t/pub1/b"]),
        Publisher(load, "pub2", 2, ["t/pub2/a", "t/pub2/b"]),
        Publisher(load, "pub1v3", 1, ["t/pub1v3/a"], version=4),
        Publisher(load, "pub2v3", 2, ["t/pub2v3/a"], version=4),
        Publisher(load, "pub1clean", 1, ["t/pub1clean/a"], clean=True),
        Publisher(load, "pub2clean", 2, ["t/pub2clean/a", "t/pub2clean/b"], clean=True),
        Publisher(load, "pubchange", 2, [f"c/{i}/{k}" for i in (1, 2) for k in range(4)]),
        Ephemeral(load, "pubexpiry", 1, ["t/pubexpiry/a"]),
        Retainer(load, "ret1", 1, [f"r/ret1/{k}" for k in range(4)]),
        Retainer(load, "ret2", 2, [f"r/ret2/{k}" for k in range(4)]),
        Retainer(load, "ret2clean", 2, ["r/ret2clean/0"], clean=True),
    ]
    subscribers = [
        Subscriber(load, "sub2", {"t/#": 2}),
        Subscriber(load, "sub1", {"t/#": 1}),
        Subscriber(load, "sub0", {"t/#": 0}),
        Subscriber(load, "sub2v3slow", {"t/+/a": 2}, is_slow=True, version=4),
        Subscriber(load, "sub1slow", {"t/+/b": 1, "t/pub1/a": 1}, is_slow=True),
        Subscriber(load, "sub2clean", {"t/#": 2}, clean=True),
        Guest(load, "guest2", {"t/pub1/#": 2, "t/pub2/#": 2}),
        Guest(load, "guest1v3", {"t/pub2v3/a": 1, "t/+/b": 1}, version=4),
        Guest(load, "guest2expiry", {"t/pubexpiry/a": 2}),
        Changer(load, "change1", [f"c/1/{k}" for k in range(4)]),
        Changer(load, "change2v3", [f"c/2/{k}" for k in range(4)], version=4),
        Ender(load, "ender", {"t/pub1/a": 1, "t/pub2/a": 2}),
        Ender(load, "enderv3", {"t/pub1/a": 1}, version=4),
        Mayfly(load, "mayfly", {"t/pub1/b": 1}),
        Subscriber(load, "willwatcher", {"will/#": 2}),
    ]
    mortals = [
        Mortal(load, "mortal0", 0), Mortal(load, "mortal1", 1), Mortal(load, "mortal3", 3),
        Mortal(load, "mortalv3", 0, version=4), Mortal(load, "mortalclean", 0, clean=True),
    ]
    return publishers, subscribers, mortals, Prober(load, "prober", {"r/#": 1})
