# SPDX-License-Identifier: Apache-2.0
"""The load: lives of a broker, each ended by SIGKILL at a moment drawn from the seed."""

import heapq
import itertools
import json
import random
import selectors
import time

import roles
from verifier import LATE_SECONDS, Verifier

QUIET_SECONDS = 5  # nothing came for so long: what is owed will not come
STALL_SECONDS = 0.2  # a turn of the loop that took longer is told to the verifier
SETTLE_SECONDS = 60
PROGRESS = {"deliver", "acked", "suback", "unsuback", "connack"}

# How a life ends, and how often of 100: at any moment; right after an acknowledgement; in a burst; while it starts.
ENDS = {"moment": 40, "acknowledgement": 30, "burst": 20, "start": 10}
AIMS = ["puback", "pubrec", "pubcomp", "suback", "unsuback", "connack"]


class Load:
    """process: a Process. history: an open file that takes each event as a line of JSON."""

    def __init__(self, process, seed, history):
        self.process, self.history = process, history
        self.random = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.timers, self.ticket = [], itertools.count()
        self.verifier = Verifier()
        self.zero = time.monotonic()
        self.kills = 0
        self.is_up = self.is_settling = self.is_killed = False
        self.aim, self.aim_left = None, 0
        self.last_progress = self.last_turn = 0
        self.publishers, subscribers, mortals, self.prober = roles.cast(self)
        self.clients = [*self.publishers, *subscribers, *mortals]

    @property
    def port(self):
        return self.process.port

    # What the clients use.

    def now(self):
        return time.monotonic() - self.zero

    def after(self, seconds, action):
        heapq.heappush(self.timers, (self.now() + seconds, next(self.ticket), action))

    def note(self, what, who=None, **fields):
        event = {"t": round(self.now(), 4), "what": what, "who": who, **fields}
        self.history.write(json.dumps(event) + "\n")
        self.verifier.feed(event)
        if what in PROGRESS:
            self.last_progress = event["t"]
        if self.aim is not None and self.aim in (what, fields.get("how")):
            self.aim_left -= 1
            if self.aim_left <= 0:
                self.kill()

    def watch(self, client):
        self.selector.register(client.sock, selectors.EVENT_READ, client)

    def unwatch(self, client):
        self.selector.unregister(client.sock)

    def want_write(self, client, is_wanted):
        key = self.selector.get_key(client.sock)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if is_wanted else 0)
        if key.events != events:
            self.selector.modify(client.sock, events, client)

    def on_lost(self, client):
        """Who breaks off comes back by itself; while all settles everybody does."""
        if self.is_up and self.is_settling and client is not self.prober:
            self.after(0.01, client.open)

    # The loop.

    def step(self, most):
        """Wait for what comes, `most` seconds at most, and work it off."""
        wait = max(min(most, self.timers[0][0] - self.now()) if self.timers else most, 0)
        ready = self.selector.select(wait)
        if self.now() - self.last_turn - wait > STALL_SECONDS:
            self.note("stall", seconds=round(self.now() - self.last_turn - wait, 3))
        self.last_turn = self.now()
        for key, events in ready:
            if events & selectors.EVENT_WRITE and key.data.sock is key.fileobj:
                key.data.flush()
            if events & selectors.EVENT_READ and key.data.sock is key.fileobj:
                key.data.on_readable()
        while self.timers and self.timers[0][0] <= self.now() and not self.is_killed:
            heapq.heappop(self.timers)[2]()

    def run_until(self, deadline):
        """Until then, or until the broker is dead."""
        while self.now() < deadline and not self.is_killed:
            self.step(min(deadline - self.now(), 0.1))
            if not self.is_killed and self.process.has_died():
                self.is_killed = True
                self.bury("died")

    def kill(self):
        if not self.is_killed:
            self.is_killed = True
            self.process.kill()

    def bury(self, what="kill"):
        """The broker is dead: read what it had sent, then all connections are over."""
        self.process.reap(self.random)
        self.is_up, self.aim = False, None
        for client in [*self.clients, self.prober]:
            while client.sock and client.on_readable():
                pass
            client.lose()
        self.timers.clear()
        self.note(what, **({"text": self.process.last_words()} if what == "died" else {}))
        self.kills += 1

    # A life.

    def start(self):
        """Start the broker. Whether it runs."""
        self.process.spawn()
        self.is_killed = False
        trouble = self.process.wait_ready()
        if trouble:
            self.process.stop()
            self.note("nostart", text=trouble)
            return False
        self.is_up = True
        self.note("start")
        self.last_progress = self.last_turn = self.now()
        for client in [*self.clients, self.prober]:
            client.plan()
        return True

    def live(self, must_settle):
        """One life, from start to kill. False when the broker does not start."""
        end = self.random.choices(list(ENDS), ENDS.values())[0]
        if end == "start" and not must_settle:
            self.process.spawn()
            time.sleep(self.random.uniform(0, 0.03))
            self.process.kill()
            self.process.reap(self.random)
            self.note("kill")
            self.kills += 1
            return True
        if not self.start():
            return False
        if must_settle:
            self.settle()
        getattr(self, "end_by_" + end, self.end_by_moment)()
        if self.process.process.returncode is None:
            self.kill()
            self.bury()
        if self.random.random() < 0.1:
            time.sleep(self.random.uniform(0, 1))
        return True

    def end_by_moment(self):
        self.run_until(self.now() + self.random.uniform(0.02, 1.2))

    def end_by_acknowledgement(self):
        self.aim = self.random.choice(AIMS)
        self.aim_left = self.random.randint(1, {"suback": 8, "unsuback": 8, "connack": 40}.get(self.aim, 200))
        self.run_until(self.now() + 1.5)

    def end_by_burst(self):
        self.run_until(self.now() + self.random.uniform(0.1, 0.8))
        if not self.is_killed:
            for publisher in self.publishers:
                publisher.burst()
            self.run_until(self.now() + self.random.uniform(0, 0.012))

    # Now and then all that is owed must come.

    def settle(self):
        self.run_until(self.now() + 0.2)
        self.is_settling = True
        for client in self.clients:
            client.open()
        start = self.last_progress = self.now()
        while not self.is_killed and self.is_unsettled():
            self.run_until(self.now() + 0.05)
            quiet = self.now() - max(start, self.last_progress)
            if quiet > self.verifier.late + QUIET_SECONDS - LATE_SECONDS or self.now() - start > SETTLE_SECONDS:
                break
        self.run_until(self.now() + 0.1)
        if not self.is_killed:
            for client in self.clients:
                left = len(client.flows) + len(client.waiting) + len(client.asked)
                if left:
                    self.note("stalled", client.name, text=f"{left} flows without an end")
            self.note("settled")
        self.is_settling = False
        for client in self.clients:
            if client.is_connected:
                client.on_up()

    def is_unsettled(self):
        return (any(not c.is_connected or c.flows or c.waiting or c.asked for c in self.clients)
                or not self.prober.is_done or self.verifier.outstanding(self.now()) > 0)

    def torture(self, kills, seconds, settle_every, calm, tell):
        """Kill so often, for no longer than so many seconds, while tell() says so.

        Then comes a life that is let alone for calm seconds, and settles.
        """
        while self.kills < kills and self.now() < seconds:
            if not self.live(self.kills % settle_every == settle_every - 1):
                return
            if not tell():
                break
        if self.start():
            self.run_until(self.now() + calm)
            self.settle()
            self.process.stop()
            self.bury()
            self.kills -= 1
