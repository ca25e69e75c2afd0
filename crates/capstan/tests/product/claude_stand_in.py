"""Stands in for the Claude Code command line: it speaks the documented message shapes, and no model is called.

The first word it is told says what it does. Its conversations lie in the working directory, as the real ones belong to
one.
"""

import json
import os
import signal
import subprocess
import sys
import uuid


def write(**message):
    print(json.dumps(message), flush=True)


def options(arguments):
    flags, found = iter(arguments), {}
    for flag in flags:
        found[flag] = True if flag in ("--print", "--verbose") else next(flags)
    for flag, value in {"--print": True, "--verbose": True, "--output-format": "stream-json",
                        "--input-format": "stream-json"}.items():
        if found.get(flag) != value:
            sys.exit(f"error: {flag} must be {value}")
    return found


def messages():
    """What is said to the agent: texts of user messages, answers to its requests, and None for an interruption."""
    for line in iter(sys.stdin.readline, ""):
        message = json.loads(line)
        if message["type"] == "control_request":
            assert message["request"]["subtype"] == "interrupt", message
            write(type="control_response", response={"subtype": "success", "request_id": message["request_id"]})
            yield None
        elif message["type"] == "control_response":
            assert message["response"]["subtype"] == "success", message
            yield message["response"]
        else:
            assert message["message"]["role"] == "user", message
            yield "\n".join(block["text"] for block in message["message"]["content"])


class Conversation:
    def __init__(self, found):
        self.session = found.get("--resume") or str(uuid.uuid4())
        self.file = f"conversation-{self.session}"
        if "--resume" in found and not os.path.exists(self.file):
            sys.exit(f"No conversation found with session ID: {self.session}")
        self.found, self.turns = found, 0

    def history(self):
        return open(self.file).read().splitlines() if os.path.exists(self.file) else []

    def begin(self):
        write(type="system", subtype="init", session_id=self.session, model=self.found.get("--model", "default"),
              cwd=os.getcwd(), tools=["Bash"], mcp_servers=[], permissionMode="default", apiKeySource="none")

    def say(self, *blocks, **more):
        message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": "claude-x",
                   "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100}}
        for block in blocks:  # One line for each block, all of one message, as the real one does.
            write(type="assistant", message={**message, "content": [block]}, parent_tool_use_id=None,
                  session_id=self.session, **more)

    def end(self, text="", subtype="success", is_error=False, **more):
        self.turns += 1  # Totals grow from turn to turn.
        totals = {"inputTokens": 10 * self.turns, "outputTokens": 5 * self.turns, "cacheReadInputTokens": 100 * self.turns,
                  "cacheCreationInputTokens": 0, "costUSD": 0.25 * self.turns, "contextWindow": 200000}
        result = {"result": text} if subtype == "success" else {}
        write(type="result", subtype=subtype, is_error=is_error, session_id=self.session, num_turns=self.turns,
              duration_ms=7, duration_api_ms=5, total_cost_usd=0.25 * self.turns,
              usage={"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100},
              modelUsage={"claude-x": totals}, permission_denials=[], **result, **more)


def permitted(inbox, command):
    """Asks whether a command may be run, as the real one does for what its own rules do not decide."""
    asked = str(uuid.uuid4())
    write(type="control_request", request_id=asked, request={
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": command}, "tool_use_id": "t1",
        "permission_suggestions": []})
    response = next(inbox)
    assert response["request_id"] == asked, response
    return response["response"]


def text(text):
    return {"type": "text", "text": text}


def main():
    talk = Conversation(options(sys.argv[1:]))
    inbox = messages()
    for said in inbox:
        if said is None:
            return
        talk.begin()
        before = talk.history()
        with open(talk.file, "a") as file:
            file.write(said.replace("\n", " | ") + "\n")
        last_line = said.splitlines()[-1]
        word = last_line.split()[0]
        if word == "silent":
            print("something went wrong", file=sys.stderr)
            sys.exit(3)
        elif word == "turns":
            talk.end(subtype="error_max_turns", is_error=True)
        elif word == "limit":
            talk.say(text("You are being limited."), error="rate_limit")
            talk.end("API Error: 429 rate_limit_error", is_error=True)
            sys.exit(1)
        elif word == "ask":
            talk.say(text('{"capstan":"blocker","summary":"Which colour?"}'))
            talk.end("I asked.")
        elif word in ("run", "Your"):  # The second begins what is told of an approved call.
            assert talk.found["--permission-prompt-tool"] == "stdio", talk.found
            permission = permitted(inbox, "deploy")
            if permission["behavior"] == "allow":
                assert permission["updatedInput"] == {"command": "deploy"}, permission
                talk.end("Deployed.")
            else:
                talk.end(f"Denied: {permission['message']}")
        elif word == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "600"])
            talk.say(text(f"child {child.pid}"))
            if next(inbox) is None:
                talk.say(text("interrupted"))
                talk.end(subtype="error_during_execution", is_error=True)
            child.wait()
        else:
            print("a line nobody expects")
            talk.say(text("Looking."), {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}})
            write(type="user", session_id=talk.session, parent_tool_use_id=None, message={
                "role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}]})
            system = talk.found.get("--append-system-prompt", "none")
            answer = f"Heard {said!r} after {before!r}, told {system!r}."
            talk.say(text(answer))
            talk.end(answer)


main()
