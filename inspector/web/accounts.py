"""Coming and going: first start, log-in, log-out, a password by one-time code, and a person's own page. Plain forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inspector.office.passwords import MAX_LENGTH, MIN_LENGTH, looks_like_code
from inspector.office.refused import Refused
from inspector.web.access import address_of, forget, known_person, person_of, remember, visitor_of
from inspector.web.pages import site_of
from inspector.web.speech import keep, own_path
from inspector.web.words import LANGUAGES, word

STATUS = {"login.wrong": 403, "login.badcode": 403, "first.badcode": 403, "login.wait": 429, "login.busy": 503}
router = APIRouter()
Form = Mapping[str, str]


@router.get("/log-in")
async def log_in_page(request: Request) -> Response:
    if person_of(request) is not None:
        return RedirectResponse("/", 303)
    if await site_of(request).office.first_code() is not None:
        return RedirectResponse("/first-start", 303)
    return _page(request, "log_in.html", {"next": request.query_params.get("next", "")}, is_code=False)


@router.post("/log-in")
async def log_in(request: Request) -> Response:
    form, office = await form_of(request), site_of(request).office
    try:
        token = await office.log_in(form.get("name", ""), form.get("password", ""), address_of(request))
    except Refused as exc:
        is_code = exc.key == "login.wrong" and looks_like_code(form.get("password", ""))  # by its form alone
        return _page(request, "log_in.html", form, exc, is_code=is_code)
    return await _entered(request, token, form.get("next", ""))


@router.get("/first-start")
async def first_start_page(request: Request) -> Response:
    if await site_of(request).office.first_code() is None:
        return RedirectResponse("/log-in", 303)
    return _page(request, "first_start.html", {})


@router.post("/first-start")
async def first_start(request: Request) -> Response:
    form, office = await form_of(request), site_of(request).office
    try:
        password = _repeated(form)
        token = await office.begin_first(form.get("code", ""), form.get("name", ""), password, address_of(request))
    except Refused as exc:
        return _page(request, "first_start.html", form, exc)
    return await _entered(request, token, "/admin")


@router.get("/new-password")
async def new_password_page(request: Request) -> Response:
    return _page(request, "new_password.html", {})


@router.post("/new-password")
async def new_password(request: Request) -> Response:
    form, office = await form_of(request), site_of(request).office
    try:
        password = _repeated(form)
        token = await office.choose_password(form.get("name", ""), form.get("code", ""), password, address_of(request))
    except Refused as exc:
        return _page(request, "new_password.html", form, exc)
    return await _entered(request, token, "/")


@router.post("/log-out")
async def log_out(request: Request) -> Response:
    await site_of(request).office.log_out(visitor_of(request).token, known_person(request).name)
    answer = RedirectResponse("/", 303)
    forget(answer, request)
    return answer


@router.get("/me")
async def me(request: Request) -> Response:
    done = request.query_params.get("done", "")
    return _page(request, "me.html", {}, done=word(f"me.done.{done}") if done in ("password", "language") else "")


@router.post("/me/password")
async def my_password(request: Request) -> Response:
    form, person = await form_of(request), known_person(request)
    try:
        chosen = _repeated(form)
        old, office = form.get("old", ""), site_of(request).office
        token = await office.change_password(person, old, chosen, address_of(request))
    except Refused as exc:
        return _page(request, "me.html", form, exc, done="")
    return await _entered(request, token, "/me?done=password", logged_out=True)


@router.post("/me/language")
async def my_language(request: Request) -> Response:
    form = await form_of(request)
    chosen = form.get("language", "")
    if chosen not in ("", *LANGUAGES):
        return _page(request, "me.html", form, Refused("me.badlanguage"), done="")
    await site_of(request).office.set_language(known_person(request), chosen)
    answer = RedirectResponse("/me?done=language", 303)
    keep(answer, chosen)
    return answer


async def form_of(request: Request) -> dict[str, str]:
    """The plain fields of a form; of several of one name the last."""
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


def told(refused: Refused) -> str:
    return word(refused.key, **refused.values)


def status_of(refused: Refused) -> int:
    return STATUS.get(refused.key, 400)


def _page(request: Request, template: str, form: Form, refused: Refused | None = None, **values: Any) -> Response:
    """A form, filled as it was but for its secrets, and why it was refused."""
    problem, status = ("", 200) if refused is None else (told(refused), status_of(refused))
    rules: dict[str, Any] = {"least": MIN_LENGTH, "most": MAX_LENGTH, "spoken": LANGUAGES}
    here = "me" if template == "me.html" else "login"
    return site_of(request).page(template, status, here=here, form=form, problem=problem, **rules, **values)


def _repeated(form: Form) -> str:
    if form.get("password", "") != form.get("again", ""):
        raise Refused("password.differ")
    return form.get("password", "")


async def _entered(request: Request, token: str, wanted: str, *, logged_out: bool = False) -> Response:
    """On to a page of ours, with the new session's token; the session that was open here before is ended."""
    before, office = person_of(request), site_of(request).office
    person = await office.visitor(token)
    if before is not None and not logged_out:
        stays = person is not None and person.no == before.no
        await office.log_out(visitor_of(request).token, "" if stays else before.name)
    answer = RedirectResponse(own_path(wanted), 303)
    remember(answer, request, token)
    if person is not None and person.language:  # theirs, in whatever browser they come with
        keep(answer, person.language)
    return answer
