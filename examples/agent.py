#!/usr/bin/env python3
"""An example agent: it summarises files, and it can ask.

Run it under Capstan:

    capstan dev --exec 'python3 examples/agent.py'

The prompt names what to summarise: files, directories or globs, relative to where the worker runs, between any other
words. For example "summarise README.md and crates/capstan-domain/src/**/*.rs". A prompt that names no file is
summarised itself. The prompt "ask" asks which files are meant, and continues with the answer.

It uses nothing but Python's standard library (3.9 or newer), and it can be tried without Capstan:

    echo 'summarise README.md' | python3 examples/agent.py

The protocol between an agent and its worker (in full: docs/worker-protocol.md):

* The prompt comes on standard input and, unless it is very long, in CAPSTAN_PROMPT. Other CAPSTAN_ variables contain
  the rest: CAPSTAN_TASK_ID, CAPSTAN_RUN_ID, CAPSTAN_CAUSE ("accepted", "input", "wake", "retry") ...
* Every line on standard output is a log line, unless it is a JSON object with the key "capstan": that is a message.
* An agent that writes {"capstan": "interactive"} before it reads the prompt keeps its standard input open and gets
  answers there, one JSON line each. If no answer comes in time, its input ends or it is stopped; the answer then
  starts it again, as the prompt of a run whose CAPSTAN_CAUSE is "input".
* Exit code 0 means done, or waiting if a question is open. Any other code is an error, described on standard error.
"""

import ast
import collections
import glob
import json
import os
import re
import sys
import time

# A run reads at most this much, so that a prompt like "/" ends.
FILES_MAX = 2000
FILE_BYTES_MAX = 2 * 1024 * 1024
SKIPPED_DIRS = {".git", "target", "node_modules", "__pycache__", ".capstan", ".venv"}

STOP_WORDS = frozenset(
    """a about after all also an and any are as at be been but by can do does each for from get had has have how if in
    into is it its let like may more most must no not of on one only or other our out own same say so some such than
    that the their them then there these they this those to two up use was we were what when where which who will with
    would you your self none true false return pub fn def impl use mod struct enum async await const static string
    """.split()
)


def say(kind, **fields):
    """Writes one message to the worker."""
    print(json.dumps({"capstan": kind, **fields}, ensure_ascii=False), flush=True)


def progress(text):
    """Writes one log line."""
    print(text, flush=True)


# --- the work ---------------------------------------------------------------------------------------------------------


def files_named_by(prompt):
    """The files the words of a prompt name, in the order they are named, each once."""
    found = {}
    for word in re.split(r"[\s,;]+", prompt):
        word = word.strip("\"'`()[]<>").rstrip(".:!?") or word
        if not word or word in {".", ".."} and len(prompt.split()) > 1:
            continue
        if os.path.isfile(word):
            found.setdefault(os.path.normpath(word))
        elif os.path.isdir(word):
            for path in walk(word):
                found.setdefault(path)
        elif any(mark in word for mark in "*?["):
            for path in sorted(glob.glob(word, recursive=True)):
                if os.path.isfile(path) and not is_skipped(path):
                    found.setdefault(os.path.normpath(path))
        if len(found) >= FILES_MAX:
            break
    return list(found)[:FILES_MAX]


def is_skipped(path):
    return any(part in SKIPPED_DIRS for part in path.split(os.sep))


def walk(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_DIRS)
        for name in sorted(names):
            yield os.path.normpath(os.path.join(folder, name))


def read_text(path):
    """The text of a file, or None when it is not text or too long."""
    try:
        if os.path.getsize(path) > FILE_BYTES_MAX:
            return None
        with open(path, "rb") as file:
            raw = file.read()
    except OSError:
        return None
    if b"\0" in raw[:4096]:
        return None
    return raw.decode("utf-8", errors="replace")


def summary_of(path, text):
    """The size, headings and longest functions of one file."""
    lines = text.splitlines()
    summary = {
        "path": path,
        "lines": len(lines),
        "blank_lines": sum(1 for line in lines if not line.strip()),
        "bytes": len(text.encode("utf-8")),
    }
    first = next((line.strip() for line in lines if line.strip()), "")
    if first:
        summary["first_line"] = first[:160]
    extension = os.path.splitext(path)[1].lower()
    if extension in {".md", ".markdown"}:
        summary["headings"] = headings(lines)
    elif extension == ".py":
        summary["functions"] = python_functions(text)
    elif extension in {".rs", ".go", ".js", ".ts", ".tsx", ".java", ".c", ".h", ".cpp"}:
        summary["functions"] = braced_functions(lines)
    todos = sum(1 for line in lines if re.search(r"\b(TODO|FIXME)\b", line))
    if todos:
        summary["todos"] = todos
    return summary


def headings(lines):
    found, in_code = [], False
    for line in lines:
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and re.match(r"#{1,6} ", line):
            found.append(line.strip()[:120])
    return found[:40]


def python_functions(text, most=5):
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    functions = [
        (node.end_lineno - node.lineno + 1, node.name, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return longest(functions, most)


FUNCTION_START = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+|export\s+|default\s+|async\s+|const\s+|unsafe\s+|static\s+)*"
    r"(?:fn|func|function)\s+(?:\([^)]*\)\s*)?(\w+)"
)


def braced_functions(lines, most=5):
    """Functions of languages with braces, by counting braces: accurate enough to find the long ones."""
    functions = []
    for start, line in enumerate(lines):
        match = FUNCTION_START.match(line)
        if not match:
            continue
        depth, opened = 0, False
        for end in range(start, min(start + 2000, len(lines))):
            code = re.sub(r"//.*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'", "", lines[end])
            depth += code.count("{") - code.count("}")
            opened = opened or "{" in code
            if (opened and depth <= 0) or (not opened and code.rstrip().endswith(";")):
                if opened:
                    functions.append((end - start + 1, match.group(1), start + 1))
                break
    return longest(functions, most)


def longest(functions, most):
    functions = sorted(functions, key=lambda function: (-function[0], function[2]))
    return [{"name": name, "line": line, "lines": length} for length, name, line in functions[:most]]


def lines_by_extension(files):
    lines = collections.Counter()
    for file in files:
        lines[os.path.splitext(file["path"])[1].lower() or "none"] += file["lines"]
    return dict(lines.most_common(20))


def top_words(counter, most=15):
    return [{"word": word, "count": count} for word, count in counter.most_common(most)]


def words_of(text):
    # Split names in code at underscores and capitals.
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).replace("_", " ").lower()
    return (word for word in re.findall(r"[^\W\d_]{3,}", text) if word not in STOP_WORDS)


def summarise(prompt):
    """Summarises the files in the prompt and reports output, usage and result to the worker."""
    started = time.monotonic()
    paths = files_named_by(prompt)
    words, read = collections.Counter(), 0
    if paths:
        files, skipped = [], []
        for number, path in enumerate(paths, 1):
            text = read_text(path)
            if text is None:
                skipped.append(path)
                progress(f"[{number}/{len(paths)}] {path}: not text, or too long")
                continue
            summary = summary_of(path, text)
            files.append(summary)
            words.update(words_of(text))
            read += len(text)
            progress(f"[{number}/{len(paths)}] {path}: {summary['lines']} lines")
        lines = sum(file["lines"] for file in files)
        line = f"{len(files)} files, {lines} lines"
        largest = sorted(files, key=lambda file: -file["lines"])[:10]
        data = {
            "prompt": prompt,
            "files": files[:200],
            "files_read": len(files),
            "files_not_listed": max(0, len(files) - 200),
            "skipped": skipped[:100],
            "total_lines": lines,
            "largest": [{"path": file["path"], "lines": file["lines"]} for file in largest],
            "lines_by_extension": lines_by_extension(files),
            "top_words": top_words(words),
        }
        title = "Summary of " + (paths[0] if len(paths) == 1 else f"{len(paths)} files")
    else:
        progress("the prompt names no file, so it is summarised itself")
        words.update(words_of(prompt))
        read = len(prompt)
        sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+", prompt) if part.strip()]
        line = f"{len(prompt.split())} words in {len(sentences)} sentences"
        data = {
            "prompt": prompt,
            "characters": len(prompt),
            "lines": len(prompt.splitlines()),
            "sentences": len(sentences),
            "longest_sentence": max(sentences, key=len, default="")[:500],
            "top_words": top_words(words),
        }
        title = "Summary of the prompt"
    data["seconds"] = round(time.monotonic() - started, 3)
    # The same name is the same output: a second attempt of this run makes no second one.
    name = "summary-" + os.environ.get("CAPSTAN_RUN_ID", "local")
    say("output", name=name, output_type="summary", title=title, summary=line, data=data)
    # No model was called; estimate four characters per token.
    say("usage", input_tokens=read // 4, output_tokens=len(json.dumps(data)) // 4, cost_usd=0.0)
    say("result", result={"summary": line})
    progress(f"done: {line}")


# --- the conversation -------------------------------------------------------------------------------------------------


def read_prompt():
    """The prompt: CAPSTAN_PROMPT_BYTES bytes when set, else all of standard input."""
    size = os.environ.get("CAPSTAN_PROMPT_BYTES")
    if size is None:
        return sys.stdin.buffer.read().decode("utf-8", errors="replace")
    prompt = sys.stdin.buffer.read(int(size)).decode("utf-8", errors="replace")
    sys.stdin.buffer.readline()  # The line end after the prompt.
    return prompt


def read_answer():
    """The next answer of the live conversation, or None at the end of the input."""
    for line in sys.stdin.buffer:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("capstan") == "input":
            answers = message.get("answers") or {}
            return message.get("message") or " ".join(str(answer) for answer in answers.values())
    return None


def main():
    say("interactive")
    prompt = read_prompt().strip()
    if os.environ.get("CAPSTAN_CAUSE") == "input":
        progress(f"continuing run {os.environ.get('CAPSTAN_RESUMED_FROM_RUN_ID', 'unknown')} with the answer")
    if prompt.lower() == "ask":
        say(
            "blocker",
            summary="Which files shall I summarise?",
            details="Name files, directories or globs, for example: README.md crates/**/*.rs",
        )
        prompt = read_answer()
        if prompt is None:
            # The answer will start this program again, as the prompt of a new run.
            progress("no answer yet: waiting without a process")
            return
        progress("continuing with the answer")
    summarise(prompt)


if __name__ == "__main__":
    main()
