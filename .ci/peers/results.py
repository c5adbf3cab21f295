"""Tests that are run, named, timed and counted in the manner of cargo's."""
import subprocess
import time

from compare import Failure


class Results:
    """Those of one suite."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.ignored = name, 0, [], 0

    def test(self, name, do):
        """Runs `do` as one test; whether it held."""
        started = time.time()
        try:
            do()
        except (Failure, OSError, subprocess.TimeoutExpired) as e:
            self.failed.append(name)
            print(f"test {self.name}::{name} ... FAILED ({time.time() - started:.1f} s)\n{e}", flush=True)
            return False
        self.passed += 1
        print(f"test {self.name}::{name} ... ok ({time.time() - started:.1f} s)", flush=True)
        return True

    def ignore(self, name, why):
        self.ignored += 1
        print(f"test {self.name}::{name} ... ignored: {why}", flush=True)

    def finish(self, summaries):
        print("\n".join(summaries))
        for name in self.failed:
            print(f"    {self.name}::{name}")
        print(f"test result: {'FAILED' if self.failed else 'ok'}. {self.passed} passed; {len(self.failed)} failed; {self.ignored} ignored; "
              f"0 measured; 0 filtered out")
        return 1 if self.failed else 0
