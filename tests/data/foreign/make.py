"""Write one conversation with the installed version of Pydantic AI, as applications store it.

Run it in an environment that holds nothing but the version wanted::

    python3.11 -m venv env
    env/bin/pip install pydantic-ai-slim==1.0.0
    env/bin/python make.py

README.md in this folder lists the versions and the extra pins some of them need. No network and
no API key is used: a scripted ``FunctionModel`` answers. The script runs unchanged under every
version from 0.0.13 on, so it looks up what the installed one can do; what a version does not
have is left out.

The file is made in one of three ways:

``jsonable``
    ``json.dump(to_jsonable_python(result.all_messages()), f, indent=2)``; when that raises
    because of raw bytes, the same with ``bytes_mode="base64"``.
``utf8``
    The same, but always with the default ``bytes_mode``: the attachments are then text only.
``adapter``
    ``ModelMessagesTypeAdapter.dump_json(result.all_messages())``.
"""

import argparse
import base64
import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_ai import Agent, ModelRetry, messages
from pydantic_ai.models.function import FunctionModel
from pydantic_core import __version__ as core_version
from pydantic_core import to_jsonable_python

try:
    from pydantic_ai.usage import RequestUsage as Usage
except ImportError:
    try:
        from pydantic_ai.usage import Usage
    except ImportError:
        Usage = None

HERE = Path(__file__).parent
VERSION = version("pydantic-ai-slim")

# A 1 x 1 picture; its base64 form holds both characters on which the two alphabets differ.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAAD3RFWHRDb21tZW50AD+++Pv8/f4fh74TAAAADElE"
    "QVR4nGP438AAAAQBAYDFKhhdAAAAAElFTkSuQmCC"
)
CSV = "都市,気温\n東京,21.5\nKraków,19\n".encode()


def has(name):
    """Return the class ``name`` of the installed version, or None."""
    return getattr(messages, name, None)


def make(cls, *args, **values):
    """Build ``cls`` with those ``values`` the installed version knows."""
    known = {field.name for field in fields(cls)}
    public = known | {name[1:] for name in known if name.startswith("_")}
    return cls(*args, **{key: value for key, value in values.items() if key in public})


def tool_call(name, args, call_id=None, **more):
    """Return a tool call; the oldest versions wrap the arguments in a class."""
    if has("ArgsDict"):
        args = messages.ArgsJson(args) if isinstance(args, str) else messages.ArgsDict(args)
    if call_id is not None:
        more["tool_call_id"] = call_id
    return make(messages.ToolCallPart, tool_name=name, args=args, **more)


def usage(input_tokens, output_tokens, **details):
    """Return usage numbers under the names of the installed version, or None."""
    if Usage is None:
        return None
    names = {field.name for field in fields(Usage)}
    if "request_tokens" in names:
        return Usage(
            requests=1,
            request_tokens=input_tokens,
            response_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens,
            details=details or None,
        )
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, details=details)


def response(number, *parts):
    """Return a model response; the odd ones have all the provider fields there are.

    The even ones keep the usage that the scripted model estimates.
    """
    found = [part for part in parts if part is not None]
    if number % 2 == 0:
        return make(messages.ModelResponse, found)
    details = {"logprobs": [-0.25, 0], "tier": "標準"}
    values = {
        "vendor_id": f"resp-{number}",
        "vendor_details": details,
        "provider_name": "example",
        "provider_url": "https://models.example/v1",
        "provider_details": details,
        "provider_request_id": f"resp-{number}",
        "provider_response_id": f"resp-{number}",
        "finish_reason": "stop",
        "metadata": {"shard": "東"},
    }
    if Usage is not None:
        values["usage"] = usage(100 + number, 10 + number, reasoning_tokens=number)
    return make(messages.ModelResponse, found, **values)


def thinking(content):
    """Return a thinking part, or None where there is none."""
    if not has("ThinkingPart"):
        return None
    return make(
        messages.ThinkingPart,
        content,
        id="rs_1",
        signature="c2lnbmF0dXJlIPCfpJQ=",
        provider_name="example",
        provider_details={"effort": "low"},
    )


def builtin_parts():
    """Return a call to a tool of the provider and its result, as far as they exist."""
    call = has("NativeToolCallPart") or has("BuiltinToolCallPart")
    back = has("NativeToolReturnPart") or has("BuiltinToolReturnPart")
    if not call:
        return []
    more = {"tool_call_id": "srv-1", "provider_name": "example"}
    return [
        make(call, tool_name="web_search", args={"query": "東京 天気"}, **more),
        make(back, tool_name="web_search", content=[{"title": "気象庁", "rank": 1}], **more),
    ]


def picture_part():
    """Return a file the model answered with, or None where there is none."""
    if not has("FilePart"):
        return None
    content = messages.BinaryContent(PNG, media_type="image/png")
    return make(messages.FilePart, content, id="img-1", provider_name="example")


def script(raw_bytes):
    """Yield what the model answers, one response a request."""
    # In the oldest versions a text next to a tool call ends the run.
    text = messages.TextPart("調べます… 🌤️") if has("ThinkingPart") else None
    picture = picture_part() if raw_bytes else None
    yield response(
        1,
        thinking("都市は東京。まず days を調べる 🤔"),
        text,
        tool_call("weather", {"city": "東京", "days": 99}, "call-1"),
        tool_call("flaky", {}, "call-2"),
    )
    yield response(
        2,
        tool_call("weather", '{"city": "Kraków \\ud83c\\udf27", "days": 2}'),
        tool_call("weather", {"city": "東京", "days": 1}),
        tool_call("flaky", {}, "call-3"),
        tool_call("radar", "{}", "call-4"),
    )
    yield response(3, *builtin_parts(), messages.TextPart("晴れ"))
    yield response(4, messages.TextPart("東京は 21.5 °C、晴れです。☀️"), picture)
    yield response(5, messages.TextPart("どういたしまして 👋🏽"))


def build_agent(raw_bytes):
    """Return the agent with its tools and its output check."""
    answers = script(raw_bytes)

    def model(history, info):
        return next(answers)

    values = {"system_prompt": "You are a weather agent. 答えは日本語で。", "retries": 5}
    code = Agent.__init__.__code__
    if "instructions" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        values["instructions"] = "Be brief. 簡潔に。"
    agent = Agent(FunctionModel(model), **values)
    tried = []

    @agent.tool_plain
    def weather(city: str, days: Annotated[int, Field(le=7)]):
        """Return the weather of a city."""
        return {"city": city, "days": days, "c": [21.5, 1e-7], "sky": "☀️", "warning": None}

    @agent.tool_plain
    def flaky():
        """Fail once."""
        tried.append("flaky")
        if tried.count("flaky") == 1:
            raise ModelRetry("もう一度 🔁")
        return "ok"

    @agent.tool_plain
    def radar():
        """Return a text and a link to a picture, in the way the installed version wants it."""
        if not has("ImageUrl"):
            return "レーダー"
        link = make(messages.ImageUrl, "https://maps.example/radar.png", force_download=True)
        if not has("ToolReturn"):
            return ["レーダー", link]
        more = {"metadata": {"source": "気象庁", "n": 1}}
        if has("TextContent"):  # As old as files inside of a tool result.
            return messages.ToolReturn(return_value=["レーダー", link], **more)
        return messages.ToolReturn(return_value="レーダー", content=["図:", link], **more)

    check = getattr(agent, "output_validator", None) or agent.result_validator

    @check
    def long_enough(data):
        tried.append("output")
        if tried.count("output") == 1:
            raise ModelRetry("Too short, write a sentence. 文で答えて。")
        return data

    return agent


def prompt(raw_bytes):
    """Return the first user prompt, with attachments where the installed version takes them."""
    text = "東京の天気は? 🗼"
    if not has("ImageUrl"):
        return text
    link = make(messages.ImageUrl, "https://maps.example/tokyo.png", identifier="map-1")
    content = [text, link]
    content.append(make(messages.BinaryContent, CSV, media_type="text/csv"))
    if raw_bytes:
        extra = {"identifier": "pin-1", "vendor_metadata": {"detail": "low"}}
        content.append(make(messages.BinaryContent, PNG, media_type="image/png", **extra))
    if has("DocumentUrl"):
        extra = {"force_download": True, "vendor_metadata": {"page": 1}}
        extra["media_type"] = "application/pdf"
        content.append(make(messages.DocumentUrl, "https://maps.example/a", **extra))
    if has("CachePoint"):
        content.append(messages.CachePoint())
    if has("TextContent"):
        content.append(messages.TextContent("メモ", metadata={"from": "notes"}))
    if has("UploadedFile"):
        content.append(messages.UploadedFile("file-1", provider_name="openai"))
    return content


def conversation(raw_bytes=True):
    """Run two turns and return all the messages."""
    agent = build_agent(raw_bytes)
    first = agent.run_sync(prompt(raw_bytes))
    return agent.run_sync("ありがとう!", message_history=first.all_messages()).all_messages()


def dump(how):
    """Return the bytes of the file and a line on how they were made."""
    if how == "adapter":
        data = messages.ModelMessagesTypeAdapter.dump_json(conversation(), indent=2)
        return data + b"\n", "ModelMessagesTypeAdapter.dump_json"
    history = conversation(raw_bytes=how == "jsonable")
    note = "to_jsonable_python"
    try:
        plain = to_jsonable_python(history)
    except ValueError:  # Also the one class pydantic-core has for it.
        plain = to_jsonable_python(history, bytes_mode="base64")
        note += ", bytes_mode='base64'"
    return json.dumps(plain, indent=2).encode() + b"\n", note


def main():
    """Write the file and say what was written."""
    parser = argparse.ArgumentParser(description="Write one conversation as a JSON file.")
    parser.add_argument("--how", choices=["jsonable", "utf8", "adapter"], default="jsonable")
    parser.add_argument("--folder", type=Path, default=HERE)
    options = parser.parse_args()
    suffix = "" if options.how == "jsonable" else f"-{options.how}"
    data, note = dump(options.how)
    path = options.folder / f"pydantic_ai_{VERSION}{suffix}.json"
    path.write_bytes(data)
    print(f"{path.name}: {note}, pydantic-core {core_version}, {len(data)} bytes")


if __name__ == "__main__":
    main()
