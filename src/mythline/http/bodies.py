"""Request bodies that are read as they come: messages keep the bytes they were sent in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, NoReturn, cast, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..errors import InvalidId, InvalidInput, InvalidMessages
from ..ids import is_session_id, new_session_id
from ..messages import MAX_DEPTH
from ..sessions import OnConflict

_JSON: Final = json.JSONDecoder()
_BLANK: Final = " \t\r\n"
_FORM_PART: Final = 1024  # bytes of a form field that is not the file
_FORM_FIELDS: Final = 8


def content_type(request: Request) -> str:
    """The media type of a request's body, without its parameters; empty if it names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON's."""
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


async def check_json(request: Request) -> None:
    """Refuse a body that doesn't say it is JSON: only that, no page of another site can send.

    Raises:
        HTTPException: 415.
    """
    length = request.headers.get("content-length", "0")
    has_body = length != "0" or "transfer-encoding" in request.headers
    if has_body and not is_json(content_type(request)):
        raise HTTPException(415, "Send JSON, with `Content-Type: application/json`.")


def member(data: bytes, name: str) -> bytes:
    """The bytes of the one member that a JSON object must have.

    Raises:
        InvalidMessages: If `data` is no JSON object.
        InvalidInput: If it lacks the member, or has others.
    """
    try:
        text = data.decode()
        found = _members(text)
    except UnicodeDecodeError as error:
        raise InvalidMessages(f"Not UTF-8: byte {error.start} can't be read.") from None
    except RecursionError:
        raise InvalidMessages(
            f"Nested too deep: at most {MAX_DEPTH} levels in a message."
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidMessages(
            f"Not JSON: {error.msg} (line {error.lineno}, character {error.pos})."
        ) from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidMessages(f"Not usable JSON: {error}.") from None
    unknown = sorted(key for key, _, _ in found if key != name)
    if unknown:
        shown = ", ".join(ascii(key)[:60] for key in unknown[:5])
        raise InvalidInput(f"Unknown members: {shown}. Send only {name!r}.")
    if len(found) != 1:
        raise InvalidInput(f"Send {name!r} once, as a member of a JSON object.")
    _, start, end = found[0]
    return text[start:end].encode()


def _members(text: str) -> list[tuple[str, int, int]]:
    """The members of the object that `text` is: each name, and where its value starts and ends."""
    found: list[tuple[str, int, int]] = []
    position = _after(text, 0, "{")
    if text[position : position + 1] == "}":
        return _whole(text, position + 1, found)
    while True:
        if text[position : position + 1] != '"':
            _refuse(text, position, 'a name in "" was expected')
        name, position = cast("tuple[str, int]", _JSON.raw_decode(text, position))
        start = _after(text, position, ":")
        _, position = _JSON.raw_decode(text, start)
        found.append((name, start, position))
        position = _skip(text, position)
        if text[position : position + 1] == "}":
            return _whole(text, position + 1, found)
        position = _after(text, position, ",")


def _whole(
    text: str, position: int, found: list[tuple[str, int, int]]
) -> list[tuple[str, int, int]]:
    position = _skip(text, position)
    if position != len(text):
        _refuse(text, position, "the object ends before the data does")
    return found


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] and text[position] in _BLANK:
        position += 1
    return position


def _after(text: str, position: int, mark: str) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != mark:
        _refuse(text, position, f"{mark!r} was expected")
    return _skip(text, position + 1)


def _refuse(text: str, position: int, why: str) -> NoReturn:
    raise json.JSONDecodeError(why, text, position)


@dataclass(frozen=True, slots=True)
class Import:
    """What an import asks for: the file, the id it shall have, and what if that is taken."""

    data: bytes
    session_id: str | None
    on_conflict: OnConflict
    file_name: str | None = None


async def read_import(request: Request, session_id: str | None, on_conflict: OnConflict) -> Import:
    """An import as it was sent, as a form with `file` or as the array itself.

    Fields of a form go before what the query says.

    Raises:
        HTTPException: 415, if it is neither; 400, if a form can't be read.
        InvalidInput: If a field is wrong.
    """
    kind = content_type(request)
    if is_json(kind):
        return Import(await request.body(), session_id, on_conflict)
    if kind != "multipart/form-data":
        raise HTTPException(
            415, "Send a form with `file` (multipart/form-data), or the file as application/json."
        )
    form = await request.form(max_files=1, max_fields=_FORM_FIELDS, max_part_size=_FORM_PART)
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("The form has no file. Send one in the field `file`.")
        asked = _text(form, "session_id") or session_id
        return Import(
            await file.read(),
            asked,
            _on_conflict(_text(form, "on_conflict") or on_conflict),
            file.filename or "",
        )
    finally:
        await form.close()


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


def _on_conflict(word: str) -> OnConflict:
    if word not in get_args(OnConflict):
        raise InvalidInput(f"`on_conflict` is one of {', '.join(get_args(OnConflict))}.")
    return cast("OnConflict", word)


def id_of(file_name: str | None) -> str:
    """The session id that a file's name tells; a new one where there is no file.

    Raises:
        InvalidId: If the name can't be an id.
    """
    if file_name is None:
        return new_session_id()
    name = file_name.removesuffix(".json").removesuffix(".jsonl")
    if not is_session_id(name):
        raise InvalidId("The file's name can't be a session's id. Pass `session_id`.")
    return name
