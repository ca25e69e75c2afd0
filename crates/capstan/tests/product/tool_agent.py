"""An agent of the line protocol that asks before it calls a tool, and reports everything it hears as an output.

The prompt says how: `call live` waits for what comes of its call, `call leave` ends at once, `call twice` asks again after
the answer, `listen` only listens. What comes of a call to an agent that has left is the prompt of its next run.
"""

import json
import os
import sys


def write(capstan, **message):
    print(json.dumps({"capstan": capstan, **message}), flush=True)


def hear():
    return json.loads(sys.stdin.readline())


def report(said):
    write("output", output_type="note", title=said)


def ask():
    write("tool_call", id="c1", tool="crm.update", arguments={"n": 1})
    decision = hear()
    assert decision["capstan"] == "decision" and decision["id"] == "c1", decision
    report(f"decision {decision['decision']}: {decision['reason']}")
    return decision["decision"]


def main():
    write("interactive")
    prompt = sys.stdin.read(int(os.environ["CAPSTAN_PROMPT_BYTES"]))
    sys.stdin.readline()
    if os.environ["CAPSTAN_CAUSE"] != "accepted":
        report(f"because of {os.environ['CAPSTAN_CAUSE']}: {prompt}")
        return
    if prompt == "listen":
        print("listening", flush=True)
    else:
        decision = ask()
        if decision == "allow" or prompt == "call leave":
            return
    report(f"heard {hear()['message']}")
    if prompt == "call twice":
        ask()


main()
