"""Counts the results of a run of redis-py's tests by reason; fails if a test failed that should have passed."""

import re
import sys
import xml.etree.ElementTree as xml
from collections import Counter

# Tests that fail for what rumour lacks on purpose, by what they say; see README.md.
EXPECTED = {
    "a command that is not there": r"unknown command|unknown subcommand|slowlog-log-slower-than",
    "more than one database": r"DB index is out of range",
    "another server beside the one": r"Connection refused",
    "a cluster's client": r"DID NOT RAISE RedisClusterException",
}


def reason(text):
    unknown = re.search(r"unknown (?:sub)?command '(\w+)'", text)
    if unknown:
        return f"unknown command {unknown.group(1).upper()}"
    return text.strip().splitlines()[0][:160] if text.strip() else "no reason given"


def main():
    passed, skipped, failed, bad = 0, Counter(), Counter(), []
    for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
        problem = next((part for part in case if part.tag in ("failure", "error")), None)
        skip = case.find("skipped")
        if problem is not None:
            text = f"{problem.get('message') or ''}\n{problem.text or ''}"
            failed[reason(text)] += 1
            if not any(re.search(pattern, text) for pattern in EXPECTED.values()):
                bad.append(f"{case.get('classname')}::{case.get('name')}: {reason(text)}")
        elif skip is not None:
            skipped[reason(skip.get("message") or "")] += 1
        else:
            passed += 1
    print(f"passed {passed}, failed {sum(failed.values())}, skipped {sum(skipped.values())}")
    for title, reasons in (("failed", failed), ("skipped", skipped)):
        for text, count in reasons.most_common():
            print(f"  {title} {count:4}  {text}")
    for line in bad:
        print(f"  NOT EXPECTED  {line}")
    return 1 if bad else 0


sys.exit(main())
