"""Runs the cases of the Autobahn test suite against an echo server and writes down each verdict.

    python autobahn_suite.py ws://127.0.0.1:8124/echo verdicts.json [PATTERN ...]

Without a PATTERN (`9.*`) all cases run but 12.* and 13.*, which are about compression.

The suite is written for Python 2, where a `str` holds bytes. Its case classes are loaded here from the installed
package in the reading that means the same to Python 3: sources are decoded as latin-1, so each character of a literal
is the byte it was, and a payload becomes bytes on its way to the socket and characters on its way to the case. The
little syntax that has changed since is listed in TRANSLATIONS, and a line of it that no longer applies is an error.
What counts as passed is the suite's own judgement (`Case.onConnectionLost`); this file only carries the bytes.
"""

import binascii
import fnmatch
import importlib.metadata
import importlib.util
import json
import pathlib
import re
import sys
import types

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket import utf8validator
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import reactor

COMPRESSION = ["12.*", "13.*"]

# What Python 3 spells otherwise: (module, pattern, replacement). Each has to apply.
TRANSLATIONS = [
    ("__init__", r"^from case12_x_x import \*$", "Case12_X_X, Case13_X_X = [], []"),
    ("__init__", r"^CaseSubCategories\.update\(Case1[23]_X_X_CaseSubCategories\)$", ""),
    ("__init__", r"^from case9_9_1 import \*$", ""),
    ("case", r"pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)", "obj1 == obj2"),
    ("case10_1_1", r" / self\.p\.autoFragmentSize", " // self.p.autoFragmentSize"),
    ("case6_x_x", r"^(\s*)print\b.*$", r"\1pass"),
    *((module, r"\(object, Case, \)", "(Case, )") for module in ["case6_x_x", "case7_7_X", "case7_9_X", "case9_7_X"]),
]


def octets(text):
    """What Python 2 had in that `str`."""
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)


def text(octets):
    """The `str` that stands for these bytes in a case."""
    return bytes(octets).decode("latin-1")


class Utf8Validator(utf8validator.Utf8Validator):
    """The library's validator for cases, which ask it about a literal."""

    def validate(self, literal):
        return super().validate(octets(literal))


# Names that the cases import or take from the language, as they knew them.
NAMES = {"xrange": range, "Utf8Validator": Utf8Validator}
HEX = types.SimpleNamespace(b2a_hex=lambda literal: binascii.b2a_hex(octets(literal)).decode())


class CaseImports:
    """Imports `case`, `case1_1_1` … from the suite's folder, where its own implicit relative imports expect them."""

    def __init__(self, folder):
        self.folder = folder
        self.applied = set()

    def find_spec(self, name, path=None, target=None):
        file = self.folder / f"{name}.py"
        return importlib.util.spec_from_loader(name, self, origin=str(file)) if path is None and file.is_file() else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        source = (self.folder / f"{name}.py").read_bytes().decode("latin-1").replace("\r\n", "\n").replace("coding=utf-8", "")
        source = re.sub(r"^import binascii$|^from autobahn\.websocket\.utf8validator .*$", "", source, flags=re.M)
        for rule in TRANSLATIONS:
            if rule[0] == name:
                source, times = re.subn(rule[1], rule[2], source, flags=re.M)
                if times:
                    self.applied.add(rule)
        module.__dict__.update(NAMES, binascii=HEX)
        exec(compile(source, module.__spec__.origin, "exec"), module.__dict__)


def load_cases():
    """The suite's case classes by number (`1.1.1`), in the suite's order."""
    folder = pathlib.Path(importlib.metadata.distribution("autobahntestsuite").locate_file("autobahntestsuite/case"))
    imports = CaseImports(folder)
    sys.meta_path.insert(0, imports)
    suite = importlib.import_module("__init__")
    unused = [rule for rule in TRANSLATIONS if rule not in imports.applied]
    if unused:
        sys.exit(f"another suite than the one this driver was written for: nothing to translate for {unused}")
    return {cls.__name__.removeprefix("Case").replace("_", "."): cls for cls in suite.Cases}


class Fuzzer(WebSocketClientProtocol):
    """One connection, run by one case. The methods that a case calls take the `str` it knows."""

    def connectionMade(self):
        self.connectionWasOpen = False
        self.createWirelog = False
        self.txFrameStats = {}
        self.runCase = self.factory.case(self)
        super().connectionMade()

    def onOpen(self):
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        self.runCase.onMessage(text(payload), isBinary)

    def onPong(self, payload):
        self.runCase.onPong(text(payload))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.factory.finished(self.runCase, self.remoteCloseCode)

    def sendFrame(self, opcode, payload="", payload_len=None, **rest):
        payload = octets(payload)
        if payload_len is not None:  # the library's own repetition divides as Python 2 did
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode=opcode, payload=payload, **rest)

    def sendMessage(self, payload, isBinary=False, **rest):
        super().sendMessage(octets(payload), isBinary=isBinary, **rest)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(octets(payload), sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, None if reasonUtf8 is None else octets(reasonUtf8), isReply)

    def logTxFrame(self, frameHeader, *rest):
        self.txFrameStats[frameHeader.opcode] = self.txFrameStats.get(frameHeader.opcode, 0) + 1

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def continueLater(self, delay, what, tag=None):
        self._unless_closed(delay, what)

    def killAfter(self, delay):
        self._unless_closed(delay, self.failConnection)

    def closeAfter(self, delay):
        self._unless_closed(delay, self.sendClose)

    def _unless_closed(self, delay, what):
        reactor.callLater(delay, lambda: self.state == WebSocketProtocol.STATE_CLOSED or what())


class Run(WebSocketClientFactory):
    """All chosen cases, one connection after the other."""

    protocol = Fuzzer
    noisy = False

    def __init__(self, url, cases):
        super().__init__(url)
        self.setProtocolOptions(failByDrop=False)
        self.logFrames = True  # 10.1.1 counts them
        self.waiting = list(cases.items())
        self.verdicts = {}
        self.next()

    def next(self):
        if self.waiting:
            self.number, self.case = self.waiting.pop(0)
            reactor.connectTCP(self.host, self.port, self)
        else:
            reactor.stop()

    def finished(self, case, close_code):
        self.verdicts[self.number] = {
            "behavior": case.behavior,
            "behaviorClose": case.behaviorClose,
            "remoteCloseCode": close_code,
            "result": f"{case.result} {case.resultClose}",
            "about": " ".join(case.DESCRIPTION.split("<br>")[0].split()),
        }
        self.next()

    def clientConnectionFailed(self, connector, reason):
        self.verdicts[self.number] = {"behavior": "FAILED", "behaviorClose": "FAILED", "result": reason.getErrorMessage()}
        self.next()


def main(url, verdicts_file, *patterns):
    cases = load_cases()
    wanted = {
        number: case
        for number, case in cases.items()
        if any(fnmatch.fnmatch(number, p) for p in patterns or ["*"])
        and not any(fnmatch.fnmatch(number, p) for p in COMPRESSION)
    }
    run = Run(url, wanted)
    reactor.run()
    pathlib.Path(verdicts_file).write_text(json.dumps(run.verdicts, indent=1, sort_keys=True))
    print(f"{len(run.verdicts)} cases run")


if __name__ == "__main__":
    main(*sys.argv[1:])
