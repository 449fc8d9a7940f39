#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the verifier: for each check a history that violates it, and one beside it that does not."""

import unittest

from verifier import KINDS, NEVER, Verifier, matches


class History:
    """A history in the making, and its verifier. The clock goes on by 10 ms an event."""

    def __init__(self):
        self.verifier = Verifier()
        self.t = 0.0
        self.add("start")

    def add(self, what, who=None, **fields):
        self.t += 0.01
        self.verifier.feed({"t": self.t, "what": what, "who": who, **fields})

    def wait(self, seconds):
        self.t += seconds

    def session(self, who, present=False, clean=False, expiry=NEVER, will=None):
        self.add("connect", who, clean=clean, expiry=expiry, will=will)
        self.add("connack", who, present=present)

    def subscribe(self, who, topic_filter, qos=1):
        self.add("subscribe", who, filter=topic_filter, qos=qos)
        self.add("suback", who, filter=topic_filter, qos=qos)

    def unsubscribe(self, who, topic_filter):
        self.add("unsubscribe", who, filter=topic_filter)
        self.add("unsuback", who, filter=topic_filter)

    def publish(self, seq, qos=1, acked=True, topic="t", **fields):
        self.add("publish", "p", seq=seq, topic=topic, qos=qos, **fields)
        if acked:
            self.acknowledge(seq, qos)

    def acknowledge(self, seq, qos=1):
        for how in ["puback"] if qos == 1 else ["pubrec", "pubcomp"]:
            self.add("acked", "p", seq=seq, how=how)

    def deliver(self, who, seq, qos=1, topic="t", dup=False, retain=False, publisher="p"):
        self.add("deliver", who, seq=seq, topic=topic, qos=qos, dup=dup, retain=retain, **{"from": publisher})

    def restart(self, *connected):
        for who in connected:
            self.add("lost", who)
        self.add("kill")
        self.add("start")

    def found(self):
        return [finding.kind for finding in self.verifier.findings]


kinds_seen = set()


def tearDownModule():
    """No kind of loss without a history that shows it."""
    assert kinds_seen == set(KINDS), f"no test shows {set(KINDS) - kinds_seen}"


class Case(unittest.TestCase):
    def setUp(self):
        self.h = History()
        self.h.session("p")

    def subscriber(self, qos=1, **options):
        self.h.session("s", **options)
        self.h.subscribe("s", "t", qos)

    def back(self, **options):
        self.h.session("s", present=True, **options)

    def assert_found(self, *kinds):
        self.h.add("settled")
        self.assertEqual(self.h.found(), list(kinds))
        kinds_seen.update(kinds)


class Missing(Case):
    def test_acknowledged_and_never_delivered_is_missing(self):
        self.subscriber()
        self.h.publish(1)
        self.assert_found("missing")

    def test_delivered_is_not_missing(self):
        self.subscriber()
        self.h.publish(1)
        self.h.deliver("s", 1)
        self.assert_found()

    def test_delivered_before_its_acknowledgement_is_not_missing(self):
        self.subscriber()
        self.h.publish(1, acked=False)
        self.h.deliver("s", 1)
        self.h.acknowledge(1)
        self.assert_found()

    def test_what_was_not_acknowledged_is_not_owed(self):
        self.subscriber()
        self.h.publish(1, acked=False)
        self.assert_found()

    def test_a_durable_session_is_owed_what_was_acknowledged_before_a_kill(self):
        self.subscriber()
        self.h.publish(1)
        self.h.restart("s", "p")
        self.back()
        self.assert_found("missing")

    def test_what_is_owed_to_an_absent_session_is_judged_when_it_is_back(self):
        self.subscriber()
        self.h.add("lost", "s")
        self.h.publish(1)
        self.assert_found()
        self.back()
        self.assert_found("missing")

    def test_a_clean_session_is_owed_nothing_after_its_connection(self):
        self.subscriber(clean=True, expiry=0)
        self.h.publish(1)
        self.h.restart("s", "p")
        self.assert_found()

    def test_a_clean_session_is_owed_what_comes_during_its_connection(self):
        self.subscriber(clean=True, expiry=0)
        self.h.publish(1)
        self.assert_found("missing")

    def test_qos_0_is_never_owed(self):
        self.subscriber(qos=0)
        self.h.publish(1)
        self.assert_found()

    def test_a_message_sent_before_the_suback_is_not_owed(self):
        self.h.session("s")
        self.h.publish(1, acked=False)
        self.h.subscribe("s", "t")
        self.h.acknowledge(1)
        self.assert_found()

    def test_an_unsubscribe_releases_what_did_not_come(self):
        self.subscriber()
        self.h.publish(1)
        self.h.add("unsubscribe", "s", filter="t")
        self.assert_found()

    def test_a_pubrec_binds_where_the_publisher_is_durable(self):
        self.subscriber(qos=2)
        self.h.publish(1, qos=2, acked=False)
        self.h.add("acked", "p", seq=1, how="pubrec")
        self.assert_found("missing")

    def test_a_pubrec_does_not_bind_where_the_publisher_is_gone_with_its_connection(self):
        self.subscriber(qos=2)
        self.h.add("lost", "p")
        self.h.session("p", present=True, clean=True, expiry=0)
        self.h.verifier.findings.clear()
        self.h.publish(1, qos=2, acked=False)
        self.h.add("acked", "p", seq=1, how="pubrec")
        self.assert_found()

    def test_a_message_with_a_short_expiry_is_not_owed_and_one_with_a_long_is(self):
        self.subscriber()
        self.h.publish(1, expiry=2)
        self.h.publish(2, expiry=3600)
        self.assert_found("missing")


class Sessions(Case):
    def test_a_durable_session_that_is_gone_is_found_with_all_it_was_owed(self):
        self.subscriber()
        self.h.publish(1)
        self.h.publish(2)
        self.h.restart("s", "p")
        self.h.session("s", present=False)
        self.assert_found("session", "missing", "missing")

    def test_a_session_is_back_after_its_clean_start(self):
        self.subscriber()
        self.h.add("lost", "s")
        self.h.session("s", clean=True, expiry=0)
        self.h.restart("s", "p")
        self.back()
        self.assert_found("ended")

    def test_an_ended_session_sends_its_messages(self):
        self.subscriber()
        self.h.add("lost", "s")
        self.h.publish(1)
        self.h.session("s", clean=True, expiry=NEVER)
        self.h.deliver("s", 1)
        self.assert_found("ended")

    def test_a_clean_start_never_finds_a_session(self):
        self.h.session("s", present=True, clean=True)
        self.assert_found("ended")

    def test_a_connect_without_connack_may_have_made_a_session(self):
        self.h.add("connect", "s", clean=False, expiry=NEVER)
        self.h.restart("s", "p")
        self.back()
        self.assert_found()

    def test_a_session_is_back_after_its_expiry(self):
        self.subscriber(expiry=4)
        self.h.add("lost", "s")
        self.h.wait(8)
        self.back(expiry=4)
        self.assert_found("expired session")

    def test_a_session_is_gone_before_its_expiry(self):
        self.subscriber(expiry=4)
        self.h.add("lost", "s")
        self.h.wait(2)
        self.h.session("s", present=False, expiry=4)
        self.assert_found("session")

    def test_near_the_expiry_both_is_right(self):
        for present in (True, False):
            with self.subTest(present=present):
                self.setUp()
                self.subscriber(expiry=4)
                self.h.publish(1)
                self.h.deliver("s", 1)
                self.h.add("lost", "s")
                self.h.wait(5)
                self.h.session("s", present=present, expiry=4)
                self.assert_found()


class Subscriptions(Case):
    def test_a_subscription_of_which_nothing_comes_after_a_restart_is_gone(self):
        self.subscriber()
        self.h.restart("s", "p")
        self.h.session("p", present=True)
        self.back()
        self.h.publish(1)
        self.assert_found("subscription", "missing")

    def test_it_is_there_when_something_of_it_comes(self):
        self.subscriber()
        self.h.restart("s", "p")
        self.h.session("p", present=True)
        self.back()
        self.h.publish(1)
        self.h.publish(2)
        self.h.deliver("s", 2)
        self.assert_found("missing")

    def test_what_was_sent_after_the_unsuback_must_not_come(self):
        self.subscriber()
        self.h.unsubscribe("s", "t")
        self.h.restart("s", "p")
        self.back()
        self.h.publish(1)
        self.h.deliver("s", 1)
        self.assert_found("unsubscribed")

    def test_what_was_sent_before_the_unsuback_may_come(self):
        self.subscriber()
        self.h.publish(1)
        self.h.unsubscribe("s", "t")
        self.h.deliver("s", 1)
        self.assert_found()

    def test_the_qos_of_a_subscription_is_kept(self):
        self.subscriber(qos=2)
        self.h.publish(1, qos=2)
        self.h.deliver("s", 1, qos=1)
        self.assert_found("qos")

    def test_a_refused_subscription_is_found(self):
        self.h.session("s")
        self.h.add("subscribe", "s", filter="t", qos=1)
        self.h.add("suback", "s", filter="t", qos=0x80)
        self.assert_found("refused")


class Again(Case):
    def test_qos_2_twice(self):
        self.subscriber(qos=2)
        self.h.publish(1, qos=2)
        self.h.deliver("s", 1, qos=2)
        self.h.restart("s", "p")
        self.back()
        self.h.deliver("s", 1, qos=2, dup=True)
        self.assert_found("twice")

    def test_qos_1_again_on_the_next_connection(self):
        self.subscriber()
        self.h.publish(1)
        self.h.deliver("s", 1)
        self.h.restart("s", "p")
        self.back()
        self.h.deliver("s", 1, dup=True)
        self.assert_found()

    def test_qos_1_again_on_one_connection(self):
        self.subscriber()
        self.h.publish(1)
        self.h.deliver("s", 1)
        self.h.deliver("s", 1)
        self.assert_found("repeat")

    def test_qos_1_again_because_its_publisher_sent_it_again(self):
        self.subscriber()
        self.h.publish(1, acked=False)
        self.h.deliver("s", 1)
        self.h.publish(1, dup=True)
        self.h.deliver("s", 1)
        self.assert_found()


class Order(Case):
    def test_an_older_message_after_a_newer_one(self):
        self.subscriber()
        for seq in (1, 2, 3):
            self.h.publish(seq)
        for seq in (1, 3, 2):
            self.h.deliver("s", seq)
        self.assert_found("order")

    def test_messages_sent_again_begin_where_they_were(self):
        self.subscriber()
        for seq in (1, 2, 3):
            self.h.publish(seq)
            self.h.deliver("s", seq)
        self.h.restart("s", "p")
        self.back()
        for seq in (2, 3):
            self.h.deliver("s", seq, dup=True)
        self.assert_found()

    def test_messages_sent_again_in_another_order(self):
        self.subscriber()
        for seq in (1, 2, 3):
            self.h.publish(seq)
            self.h.deliver("s", seq)
        self.h.restart("s", "p")
        self.back()
        for seq in (3, 2):
            self.h.deliver("s", seq, dup=True)
        self.assert_found("order")

    def test_one_that_expired_and_was_sent_again_may_come_later(self):
        self.subscriber()
        for seq, expiry in ((1, 1), (2, 3600)):
            self.h.publish(seq, acked=False, expiry=expiry)
        self.h.restart("s", "p")
        self.back()
        for seq, expiry in ((1, 1), (2, 3600)):
            self.h.publish(seq, dup=True, expiry=expiry)
        for seq in (2, 1, 2):
            self.h.deliver("s", seq)
        self.assert_found()

    def test_one_that_expires_keeps_its_order(self):
        self.subscriber()
        for seq in (1, 2):
            self.h.publish(seq, expiry=1)
        for seq in (2, 1):
            self.h.deliver("s", seq)
        self.assert_found("order")

    def test_the_copy_of_an_expired_message_comes_behind_those_that_have_not(self):
        self.subscriber()
        self.h.publish(1, expiry=1)
        self.h.publish(2)
        self.h.publish(1, dup=True, expiry=1)
        self.h.deliver("s", 2)
        self.h.deliver("s", 1)
        self.assert_found()

    def test_with_qos_0_the_copy_of_one_that_was_dropped_may_come_late(self):
        self.subscriber(qos=0)
        self.h.publish(1, acked=False)
        self.h.publish(2)
        self.h.deliver("s", 2, qos=0)
        self.h.publish(1, dup=True)
        self.h.deliver("s", 1, qos=0)
        self.assert_found()

    def test_topics_have_no_order_among_them(self):
        self.subscriber()
        self.h.subscribe("s", "u")
        self.h.publish(1, topic="t")
        self.h.publish(2, topic="u")
        self.h.deliver("s", 2, topic="u")
        self.h.deliver("s", 1, topic="t")
        self.assert_found()


class Retained(Case):
    def probe(self, found):
        self.h.session("probe", clean=True, expiry=0)
        self.h.add("probe", "probe")
        if found is not None:
            self.h.deliver("probe", found, retain=True)
        self.h.add("probed", "probe")
        self.h.add("lost", "probe")

    def retained(self, *seqs, acked=True, **options):
        for seq in seqs:
            self.h.publish(seq, acked=acked, retain=True, **options)

    def test_the_last_acknowledged_value_is_right(self):
        self.retained(1, 2)
        self.probe(2)
        self.assert_found()

    def test_an_older_value_than_the_last_acknowledged(self):
        self.retained(1, 2)
        self.probe(1)
        self.assert_found("retained")

    def test_no_value(self):
        self.retained(1)
        self.probe(None)
        self.assert_found("retained")

    def test_a_value_that_was_sent_but_not_acknowledged_may_stand(self):
        self.retained(1)
        self.retained(2, acked=False)
        self.probe(2)
        self.probe(1)
        self.assert_found()

    def test_a_value_that_is_set_during_the_probe_may_come_live(self):
        self.retained(1)
        self.h.session("probe", clean=True, expiry=0)
        self.h.add("probe", "probe")
        self.h.subscribe("probe", "t")
        self.retained(2)
        self.h.deliver("probe", 2)
        self.h.add("probed", "probe")
        self.h.add("lost", "probe")
        self.assert_found()

    def test_a_topic_that_is_first_used_during_the_probe_may_be_found_or_not(self):
        self.h.session("probe", clean=True, expiry=0)
        self.h.add("probe", "probe")
        self.retained(1)
        self.h.add("probed", "probe")
        self.assert_found()

    def test_a_value_that_was_cleared_is_back(self):
        self.retained(1)
        self.retained(2, clear=True)
        self.probe(None)
        self.probe(1)
        self.assert_found("cleared")

    def test_a_clear_without_acknowledgement_may_have_worked_or_not(self):
        self.retained(1)
        self.retained(2, clear=True, acked=False)
        self.probe(None)
        self.probe(1)
        self.assert_found()

    def test_a_qos_2_value_is_promised_by_the_pubcomp(self):
        self.retained(1)
        self.retained(2, qos=2, acked=False)
        self.h.add("acked", "p", seq=2, how="pubrec")
        self.probe(1)
        self.h.add("acked", "p", seq=2, how="pubcomp")
        self.probe(1)
        self.assert_found("retained")


class Expiry(Case):
    def test_a_message_comes_long_after_its_expiry(self):
        self.subscriber()
        self.h.publish(1, expiry=1)
        self.h.wait(5)
        self.h.deliver("s", 1)
        self.assert_found("expired message")

    def test_a_deadline_is_no_surer_than_the_clients_are_quick(self):
        self.subscriber()
        self.h.publish(1, expiry=1)
        self.h.wait(5)
        self.h.add("stall", seconds=2)
        self.h.deliver("s", 1)
        self.assert_found()

    def test_a_message_whose_delivery_had_begun_may_come_again(self):
        self.subscriber()
        self.h.publish(1, expiry=1)
        self.h.wait(5)
        self.h.deliver("s", 1, dup=True)
        self.assert_found()


class Wills(Case):
    def setUp(self):
        super().setUp()
        self.h.session("watcher")
        self.h.subscribe("watcher", "will/#", 2)

    def client(self, seq=1, delay=0, present=False, **options):
        self.h.session("w", present=present, will={"seq": seq, "topic": "will/w", "qos": 2, "delay": delay}, **options)

    def fire(self, seq=1):
        self.h.deliver("watcher", seq, qos=2, topic="will/w", publisher="w.will")

    def test_a_will_of_a_stored_session_never_fires_after_a_kill(self):
        self.client()
        self.h.restart("w", "p", "watcher")
        self.h.wait(5)
        self.assert_found("will")

    def test_a_will_without_delay_is_due_even_if_its_client_is_back(self):
        self.client()
        self.h.restart("w", "p", "watcher")
        self.client(seq=2, present=True)
        self.assert_found("will")

    def test_it_fires_once(self):
        self.client()
        self.h.restart("w", "p", "watcher")
        self.fire()
        self.h.wait(5)
        self.assert_found()

    def test_it_fires_twice(self):
        self.client()
        self.h.add("lost", "w")
        self.fire()
        self.h.restart("p", "watcher")
        self.fire()
        self.assert_found("will twice")

    def test_a_delayed_will_fires_though_its_client_was_back_in_time(self):
        self.client(delay=4)
        self.h.restart("w", "p", "watcher")
        self.client(seq=2, delay=4, present=True)
        self.fire()
        self.assert_found("will wrong")

    def test_a_delayed_will_is_due_when_its_client_came_too_late(self):
        self.client(delay=1)
        self.h.restart("w", "p", "watcher")
        self.h.wait(5)
        self.client(seq=2, delay=1, present=True)
        self.assert_found("will")

    def test_a_will_fires_though_its_client_said_goodbye(self):
        self.client()
        self.h.add("disconnect", "w")
        self.h.add("lost", "w")
        self.client(seq=2, present=True)
        self.fire()
        self.assert_found("will wrong")

    def test_a_goodbye_before_a_kill_is_acknowledged_by_nothing(self):
        self.client()
        self.h.add("disconnect", "w")
        self.h.restart("w", "p", "watcher")
        self.client(seq=2, present=True)
        self.fire()
        self.assert_found()

    def test_a_will_fires_while_its_client_is_connected(self):
        self.client()
        self.fire()
        self.assert_found("will wrong")

    def test_a_will_of_a_session_that_is_not_stored_may_die_with_the_broker(self):
        self.client(clean=True, expiry=0)
        self.h.restart("w", "p", "watcher")
        self.h.wait(5)
        self.assert_found()

    def test_a_connect_without_connack_may_leave_a_will(self):
        self.h.add("connect", "w", clean=False, expiry=NEVER, will={"seq": 1, "delay": 0, "topic": "will/w"})
        self.h.restart("w", "p", "watcher")
        self.fire()
        self.assert_found()


class Others(Case):
    def test_a_message_that_nobody_sent(self):
        self.subscriber()
        self.h.deliver("s", 7)
        self.assert_found("foreign")

    def test_a_message_on_another_topic(self):
        self.subscriber()
        self.h.publish(1, topic="u")
        self.h.deliver("s", 1, topic="t")
        self.assert_found("foreign")

    def test_what_the_load_saw_itself(self):
        for what, kind in [("damaged", "foreign"), ("stalled", "stalled"), ("refused", "refused"), ("died", "died"),
                           ("nostart", "no start")]:
            with self.subTest(what=what):
                self.setUp()
                self.h.add(what, "s", text="as it was")
                self.assert_found(kind)

    def test_filters_match_as_the_standard_says(self):
        for topic_filter, topic, is_match in [
                ("a/b", "a/b", True), ("a/b", "a", False), ("a", "a/b", False), ("a/+", "a/b", True),
                ("a/+", "a/b/c", False), ("a/#", "a", True), ("a/#", "a/b/c", True), ("+/b", "a/b", True),
                ("#", "a/b", True), ("+", "a/b", False)]:
            self.assertEqual(matches(topic_filter, topic), is_match, (topic_filter, topic))


if __name__ == "__main__":
    unittest.main()
