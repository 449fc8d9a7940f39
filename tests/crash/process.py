# SPDX-License-Identifier: Apache-2.0
"""The broker under torture: one process at a time, on one folder."""

import os
import shutil
import signal
import socket
import subprocess
import time

import powercut

START_SECONDS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """command: the words before "-c FILE". options: lines of the configuration.

    recorder: powercut.so, with which an end is a cut of the power; or None."""

    def __init__(self, folder, command, options, recorder=None):
        self.folder, self.port, self.recorder = folder, free_port(), recorder
        self.store = os.path.join(folder, "store")
        self.log_path = os.path.join(folder, "broker.log")
        self.written_path = os.path.join(folder, "written")  # the log of powercut.so
        self.disk = self.process = None
        os.makedirs(self.store, exist_ok=True)
        config = os.path.join(folder, "broker.conf")
        with open(config, "w", encoding="utf-8") as out:
            # Debian's mosquitto gives up root for a user that could not read our folders.
            out.write("\n".join([*(["user root"] if os.geteuid() == 0 else []), f"listener {self.port} 127.0.0.1",
                                 "allow_anonymous true", "max_queued_messages 0", "log_timestamp_format %FT%T",
                                 f"persistence_location {self.store}/", *options, ""]))
        self.command = [*command, "-c", config]

    def spawn(self):
        environment = dict(os.environ)
        if self.recorder:
            self.disk = powercut.Disk(self.store)
            environment = powercut.preload(self.recorder, self.store, self.written_path)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)

    def wait_ready(self):
        """Wait until it listens. None, or why it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return f"it ended with status {self.process.returncode}: {self.last_words()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return None
            except OSError:
                time.sleep(0.002)
        return f"it does not listen after {START_SECONDS} s: {self.last_words()}"

    def last_words(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:])

    def has_died(self):
        return self.process is not None and self.process.poll() is not None

    def kill(self):
        """SIGKILL, at once; reap() waits for the end."""
        self.process.send_signal(signal.SIGKILL)

    def reap(self, random):
        """Wait for the end; after a cut of the power the store is what that leaves of it."""
        self.process.wait()
        if self.disk:
            is_written = os.path.exists(self.written_path)
            for record in powercut.read_log(self.written_path) if is_written else ():
                self.disk.feed(record)
            shutil.rmtree(self.store)
            os.makedirs(self.store)
            self.disk.build(self.store, random, random.choice(powercut.MODES))
            if is_written:
                os.remove(self.written_path)

    def stop(self):
        """At the end of all: nothing of ours stays."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
