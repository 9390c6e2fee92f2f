"""Stands in for claude, codex, gemini and opencode: speaks the output that each of them prints, by a plan.

``python fake_coding_tool.py NAME ARGS...``. The variable FAKE_PLAN names a file of JSON: ``calls`` to make
(each of 1,000 tokens read, 300 of them from a cache, and 50 written), ``edits`` to write by path, ``refused``
for a key that is not taken, ``fails`` with an exit code before or after its first words, ``hangs`` before or
after the calls, ``pids`` and ``seen`` for what a test asks.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

VERSIONS = {
    "claude": "2.1.197 (Claude Code)",
    "codex": "codex-cli 0.169.0",
    "gemini": "0.61.0",
    "opencode": "1.18.33",
}
READ, CACHED, WRITTEN, THOUGHT = 1_000, 300, 40, 10
OUTPUT = WRITTEN + THOUGHT


def main() -> None:
    tool, args = sys.argv[1], sys.argv[2:]
    if args == ["--version"]:
        sys.stdout.write(VERSIONS[tool] + "\n")
        return
    plan = json.loads(Path(os.environ["FAKE_PLAN"]).read_text())
    note(plan, args)
    if plan.get("fails") == "before":
        fail(plan)
    speaker = {"claude": Claude, "codex": Codex, "gemini": Gemini, "opencode": OpenCode}[tool](args)
    speaker.begin()
    if plan.get("fails") == "after":
        fail(plan)
    if plan.get("refused"):
        speaker.refuse()
        hang(plan)
        sys.exit(1)
    if plan.get("hangs") == "before":
        hang(plan)
    for number in range(plan.get("calls", 1)):
        speaker.call(number)
    for path, text in plan.get("edits", {}).items():
        Path(path).write_text(text)
    if plan.get("hangs") == "after":
        hang(plan)
    speaker.end(plan.get("calls", 1), plan.get("said", "HYPOTHESIS: Warmer"))


def note(plan: dict, args: list) -> None:
    if plan.get("seen"):
        home = Path(os.environ["HOME"])
        seen = {
            "argv": args,
            "environ": dict(os.environ),
            "stdin": sys.stdin.read(),
            "task": Path("prompt.md").read_text(),
            "work": sorted(path.name for path in Path.cwd().iterdir()),
            "home": {
                str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()
            },
        }
        Path(plan["seen"]).write_text(json.dumps(seen))


def fail(plan: dict) -> None:
    sys.stderr.write(plan.get("said", "boom"))
    sys.exit(3)


def hang(plan: dict) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    if plan.get("pids"):
        Path(plan["pids"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def tell(event: dict) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def model_of(args: list) -> str:
    return args[args.index("--model") + 1]


class Claude:
    def __init__(self, args):
        self.model = model_of(args)

    def begin(self):
        tell({"type": "system", "subtype": "init", "model": self.model, "tools": ["Edit", "Read"]})

    def call(self, number):
        usage = {
            "input_tokens": READ - CACHED,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": CACHED,
            "output_tokens": 1,
        }
        message = {"id": f"msg_{number}", "role": "assistant", "model": self.model, "usage": usage}
        self.stream({"type": "message_start", "message": {**message, "content": []}})
        content = [{"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {}}]
        tell({"type": "assistant", "message": {**message, "content": content}, "session_id": "s"})
        self.stream({"type": "message_delta", "delta": {}, "usage": {"output_tokens": OUTPUT}})

    def stream(self, event):
        tell({"type": "stream_event", "event": event, "session_id": "s"})

    def refuse(self):
        error = {"error_status": 401, "error": "authentication_failed", "attempt": 1}
        tell({"type": "system", "subtype": "api_retry", **error})

    def end(self, calls, said):
        told = {"inputTokens": calls * (READ - CACHED), "outputTokens": calls * OUTPUT}
        cache = {"cacheReadInputTokens": calls * CACHED, "cacheCreationInputTokens": 0}
        tell(
            {
                "type": "result",
                "subtype": "success",
                "is_error": False,
                "api_error_status": None,
                "num_turns": calls,
                "result": said,
                "total_cost_usd": calls * 0.01,
                "modelUsage": {self.model: {**told, **cache, "costUSD": calls * 0.01}},
            }
        )


class Codex:
    def __init__(self, args):
        folder = Path(os.environ["HOME"], ".codex/sessions/2026/11/22")
        folder.mkdir(parents=True)
        self.record = folder / "rollout-2026-11-22T02-40-32-01a2.jsonl"

    def begin(self):
        tell({"type": "thread.started", "thread_id": "01a2"})
        tell({"type": "turn.started"})

    def call(self, number):
        info = {"total_token_usage": self.usage(number + 1), "last_token_usage": self.usage(1)}
        payload = {"type": "token_count", "info": info, "rate_limits": None}
        with self.record.open("a") as file:
            file.write(json.dumps({"type": "event_msg", "payload": payload}) + "\n")
        tell({"type": "item.completed", "item": {"id": f"item_{number}", "type": "file_change"}})

    def usage(self, calls):
        told = {"input_tokens": READ, "cached_input_tokens": CACHED, "cache_write_input_tokens": 0}
        told |= {"output_tokens": OUTPUT, "reasoning_output_tokens": THOUGHT, "total_tokens": READ + OUTPUT}
        return {name: value * calls for name, value in told.items()}

    def refuse(self):
        message = "Reconnecting... 1/5 (unexpected status 401 Unauthorized: invalid key, url: http://x/v1)"
        tell({"type": "error", "message": message})

    def end(self, calls, said):
        tell({"type": "item.completed", "item": {"id": "last", "type": "agent_message", "text": said}})
        usage = self.usage(calls)
        del usage["total_tokens"]
        tell({"type": "turn.completed", "usage": usage})


class Gemini:
    def __init__(self, args):
        self.model = model_of(args)
        folder = Path(os.environ["HOME"], ".gemini/tmp/work/chats")
        folder.mkdir(parents=True)
        self.record = folder / "session-2026-11-22T02-40-718d.jsonl"

    def begin(self):
        tell({"type": "init", "session_id": "718d", "model": self.model})
        tell({"type": "message", "role": "user", "content": "HYPOTHESIS: not this"})

    def call(self, number):
        tokens = {"input": READ, "output": WRITTEN, "cached": CACHED, "thoughts": THOUGHT, "tool": 0}
        tokens["total"] = READ + OUTPUT
        line = {"id": f"m{number}", "type": "gemini", "content": "", "tokens": tokens, "model": self.model}
        with self.record.open("a") as file:
            for noted in (line, {"$set": {"lastUpdated": "2026"}}, {**line, "toolCalls": []}):
                file.write(json.dumps(noted) + "\n")
        tell({"type": "message", "role": "assistant", "content": "let me see", "delta": True})
        tell({"type": "tool_use", "tool_name": "read_file", "tool_id": f"r{number}"})

    def refuse(self):
        self.result(
            "error", 0, error={"type": "unknown", "message": '[API Error: {"status":"UNAUTHENTICATED"}]'}
        )

    def end(self, calls, said):
        for piece in (said[:4], said[4:]):
            tell({"type": "message", "role": "assistant", "content": piece, "delta": True})
        self.result("success", calls)

    def result(self, status, calls, **more):
        told = {
            "total_tokens": READ + OUTPUT,
            "input_tokens": READ,
            "output_tokens": WRITTEN,
            "cached": CACHED,
        }
        told = {name: value * calls for name, value in told.items()}
        tell({"type": "result", "status": status, "stats": {**told, "models": {self.model: told}}, **more})


class OpenCode:
    def __init__(self, args):
        pass

    def begin(self):
        tell({"type": "step_start", "sessionID": "s", "part": {"type": "step-start"}})

    def call(self, number):
        cache = {"write": 0, "read": CACHED}
        tokens = {"input": READ - CACHED, "output": WRITTEN, "reasoning": THOUGHT, "cache": cache}
        part = {"id": f"prt_{number}", "type": "step-finish", "reason": "tool-calls", "tokens": tokens}
        tell({"type": "step_finish", "sessionID": "s", "part": {**part, "cost": 0.01}})
        tell({"type": "step_start", "sessionID": "s", "part": {"type": "step-start"}})

    def refuse(self):
        data = {"message": "invalid x-api-key", "statusCode": 401, "isRetryable": False}
        tell({"type": "error", "sessionID": "s", "error": {"name": "APIError", "data": data}})

    def end(self, calls, said):
        tell({"type": "text", "sessionID": "s", "part": {"type": "text", "text": said}})


if __name__ == "__main__":
    main()
