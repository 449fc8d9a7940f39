# SPDX-License-Identifier: Apache-2.0
"""What a folder may be after a cut of the power, from the log of powercut.so.

    disk = Disk(folder)                    before the process starts
    environment = preload(library, folder, log)
    ...                                    the process runs
    for record in read_log(log):           to any point
        disk.feed(record)
    disk.build(target, random, "some")     the folder after a cut just there

What was synced is there. Of what was written to a file since, each write is there or not, whole or by
sectors of 512 bytes; of the names made, changed and removed since their folder was synced, each is there or
not. Syncing a file does not make its name safe. A disk may be kinder than that; none may be worse.
"""

import os
import struct

HEADER = struct.Struct("=5Q")
SECTOR = 512
MODES = ("nothing", "everything", "some", "torn", "last")


def preload(library, folder, log):
    """The environment under which a process is recorded."""
    return dict(os.environ, LD_PRELOAD=library, POWERCUT_FOLDER=folder, POWERCUT_LOG=log)


class Record:
    """kind: C create, W write, T truncate, R rename, L link, U remove, D mkdir, B and E begin and end of a
    sync, A what is sent on a socket. What the rest means depends on it; see powercut.c."""

    def __init__(self, kind, file, at, name, data):
        self.kind, self.file, self.at, self.name, self.data = kind, file, at, name, data

    def __repr__(self):
        return f"<{self.kind} {self.file} {self.at} {self.name} {len(self.data)} bytes>"


def read_log(path):
    """All whole records; the last may have been cut by a kill."""
    with open(path, "rb") as file:
        log = file.read()
    at = 0
    while at + HEADER.size <= len(log):
        kind, number, offset, name_n, data_n = HEADER.unpack_from(log, at)
        at += HEADER.size
        if at + name_n + data_n > len(log):
            return
        name, data = log[at:at + name_n].decode(), log[at + name_n:at + name_n + data_n]
        at += name_n + data_n
        yield Record(chr(kind), number, offset, name, data)


class File:
    def __init__(self, content=b""):
        self.safe = bytearray(content)
        self.pending = []  # (index, record): written, not synced


class Folder:
    """What stands for a folder among the names."""


def apply(content, at, data):
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


def resize(content, size):
    del content[size:]
    content.extend(bytes(size - len(content)))


class Disk:
    def __init__(self, folder):
        """All that is in the folder now is safe."""
        self.index = 0
        self.files = {}  # inode number: File
        self.safe_names = {}
        self.pending_names = []  # (index, folders concerned, {name: File, Folder or None})
        self.syncs = {}  # number of a sync: index of its begin
        for top, folders, files in os.walk(folder):
            below = os.path.relpath(top, folder)
            for name in files:
                path = os.path.join(top, name)
                if not os.path.isfile(path):
                    continue  # a socket is worth nothing without its process
                with open(path, "rb") as file:
                    self.files[os.stat(path).st_ino] = File(file.read())
                self.safe_names[os.path.normpath(os.path.join(below, name))] = self.files[os.stat(path).st_ino]
            for name in folders:
                self.safe_names[os.path.normpath(os.path.join(below, name))] = Folder()
        self.names = dict(self.safe_names)  # as the process sees them

    def feed(self, record):
        self.index += 1
        getattr(self, "feed_" + record.kind)(record)

    def change_names(self, changes):
        self.names.update(changes)
        self.pending_names.append((self.index, {os.path.dirname(name) for name in changes}, changes))

    def feed_A(self, record):
        pass

    def feed_C(self, record):
        self.files[record.file] = File()
        self.change_names({record.name: self.files[record.file]})

    def feed_W(self, record):
        self.files[record.file].pending.append((self.index, record))

    feed_T = feed_W

    def feed_R(self, record):
        self.change_names({record.name: None, record.data.decode(): self.names[record.name]})

    def feed_L(self, record):
        self.change_names({record.data.decode(): self.names[record.name]})

    def feed_U(self, record):
        self.change_names({record.name: None})

    def feed_D(self, record):
        self.change_names({record.name: Folder()})

    def feed_B(self, record):
        self.syncs[record.at] = self.index

    def feed_E(self, record):
        begin = self.syncs.pop(record.at)
        if record.name == "" or isinstance(self.names.get(record.name), Folder):
            self.sync_folder(record.name, begin)
        else:
            file = self.files[record.file]
            for index, change in file.pending:
                if index < begin:
                    self.apply_to(file.safe, change)
            file.pending = [(index, change) for index, change in file.pending if index >= begin]

    def sync_folder(self, name, begin):
        left = []
        for index, folders, changes in self.pending_names:
            if index < begin and name in folders:
                self.safe_names.update(changes)
            else:
                left.append((index, folders, changes))
        self.pending_names = left

    @staticmethod
    def apply_to(content, record):
        if record.kind == "T":
            resize(content, record.at)
        else:
            apply(content, record.at, record.data)

    # After the cut.

    def build(self, target, random, mode):
        """Write the folder after a cut just now to target, an empty folder. mode: one of MODES."""
        names = dict(self.safe_names)
        for number, (_, _, changes) in enumerate(self.pending_names):
            if self.is_kept(random, mode, number == len(self.pending_names) - 1):
                names.update(changes)
        for name in sorted(name for name, node in names.items() if node is not None):
            path = os.path.join(target, name)
            if isinstance(names[name], Folder):
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(self.content(names[name], random, mode))

    @staticmethod
    def is_kept(random, mode, is_last):
        if mode in ("some", "torn"):
            return random.random() < 0.5
        return mode == "everything" or (mode == "last" and is_last)

    def content(self, file, random, mode):
        content = bytearray(file.safe)
        for number, (_, record) in enumerate(file.pending):
            if mode == "torn" and record.kind == "W":
                self.tear(content, random, record)
            elif self.is_kept(random, mode, number == len(file.pending) - 1):
                self.apply_to(content, record)
        return bytes(content)

    @staticmethod
    def tear(content, random, record):
        at = 0
        while at < len(record.data):
            n = SECTOR - (record.at + at) % SECTOR
            if random.random() < 0.5:
                apply(content, record.at + at, record.data[at:at + n])
            at += n
