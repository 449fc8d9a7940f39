# SPDX-License-Identifier: Apache-2.0
"""noctule bench --floor, and the scripts that compare brokers by their figures."""

import json
import os
import subprocess

import pytest

import raw
from conftest import PROGRAM, TOP, free_port

pytestmark = pytest.mark.noctule_only


@pytest.fixture(scope="module")
def floor():
    port = free_port()
    with subprocess.Popen([PROGRAM, "bench", "--floor", "--port", str(port)], text=True,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert f"127.0.0.1 port {port}" in process.stderr.readline()
            yield port
            assert process.poll() is None
        finally:
            process.terminate()


def load(port, *options):
    return subprocess.run([PROGRAM, "bench", "--port", str(port), "--seconds", "0.2", "--warmup",
                           "0.1", *options], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("scenario, count", [("1to1-64", 5), ("fanout-500", 20), ("qos1", 5),
                                             ("qos2", 5), ("kept-qos1", 5), ("conns", 50)])
def test_the_floor_carries_each_scenario(floor, scenario, count, version):
    """Nothing is lost, doubled or out of order, or the generator says so with its status."""
    done = load(floor, "--scenario", scenario, "--count", str(count), "--protocol", version)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x80\x80\x80\x80\x80",
                                   raw.connect("a") + b"\x82\x01", raw.connect("a") + b"\x30\x01a"],
                         ids=["http", "length", "subscribe", "publish"])
def test_the_floor_drops_who_does_not_begin_as_the_generator_does(floor, first):
    client = raw.Raw(floor)
    client.send(first)
    client.expect_closed()
    assert load(floor, "--count", "2").returncode == 0


def test_a_second_publisher_is_not_the_floors_business(floor):
    subscriber, first, second = [raw.Raw(floor) for _ in range(3)]
    for client in (subscriber, first, second):
        client.connect("any")
        client.expect_nothing(0)
    subscriber.subscribe(("a", 0))
    first.publish("a", "one")
    subscriber.expect_message("a", "one")
    second.publish("a", "two")
    second.expect_closed()
    first.publish("a", "three")
    subscriber.expect_message("a", "three")
    first.close()
    third = raw.Raw(floor)
    third.connect("any")
    third.publish("a", "four")
    subscriber.expect_message("a", "four")


def test_the_floor_names_a_port_that_is_taken(floor):
    done = subprocess.run([PROGRAM, "bench", "--floor", "--port", str(floor)], text=True,
                          capture_output=True, timeout=10)
    assert done.returncode == 1 and f"port {floor}: Address already in use" in done.stderr


def table(tmp_path, *options, **figures):
    """scripts/bench-table over runs of noctule (1 us for a message) and another."""
    results = tmp_path / "results"
    with open(results, "w", encoding="ascii") as out:
        for scenario, runs in figures.items():
            for name, values in (("noctule", [1, 1, 1]), ("other", runs)):
                for value in values:
                    out.write(json.dumps({"scenario": scenario, "name": name,
                                          "broker_us_per_message": value}) + "\n")
    return subprocess.run([os.path.join(TOP, "scripts", "bench-table"), *options, results,
                           "noctule", "other"], capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("wanted, status", [
    ("qos1=10", 0), ("qos1=10.1", 3), ("qos1=10,ws=3", 0), ("qos1=10,ws=4", 3), ("ws=4,qos1=1", 3),
    ("fanout=1", 3),
])
def test_a_ratio_of_medians_is_reached_or_not(tmp_path, wanted, status):
    done = table(tmp_path, "--at-least", wanted, qos1=[99, 10, 2], ws=[3, 3, 3])
    assert done.returncode == status, done.stderr
    assert ("were wanted" in done.stdout) == (status == 3)
    assert table(tmp_path, qos1=[1], ws=[1]).returncode == 0


def bench(*options):
    return subprocess.run([os.path.join(TOP, "scripts", "bench"), "-g", PROGRAM, *options],
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def test_bench_measures_the_floor(tmp_path):
    done = bench("-n", "-f", "-r", "1", "-t", "0.2", "-s", "1to1-64,ws", "-o", str(tmp_path))
    assert done.returncode == 0 and "| figure | floor |" in done.stdout, done.stdout


def test_bench_checks_a_ratio(tmp_path):
    floors = [f"{name}@{free_port()}={PROGRAM} bench --floor --port {{port}}" for name in "ab"]
    done = bench("-n", "-r", "1", "-t", "0.2", "-s", "1to1-64", "-o", str(tmp_path),
                 "-a", "1to1-64=1000", *floors)
    assert done.returncode == 3 and "1to1-64: b takes" in done.stdout, done.stdout


@pytest.mark.parametrize("wanted", ["qos1=10", "1to1-64", "1to1-64=ten", "1to1-64=1,qos1=2"])
def test_bench_refuses_a_ratio_that_it_will_not_see(tmp_path, wanted):
    done = bench("-s", "1to1-64", "-o", str(tmp_path), "-a", wanted)
    assert done.returncode == 1 and "-a wants" in done.stderr
