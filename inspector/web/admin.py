"""The people of the box."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inspector.office import people
from inspector.office.people import Account
from inspector.office.person import Role
from inspector.office.refused import Refused
from inspector.web.access import known_person
from inspector.web.accounts import status_of, told
from inspector.web.pages import Number, site_of
from inspector.web.said import in_words
from inspector.web.words import word
from plc.tls import TlsError, read_certificate

router = APIRouter()


@router.get("/admin")
async def admin(request: Request) -> Response:
    return await _page(request)


@router.post("/admin/people")
async def add(request: Request) -> Response:
    form = await request.form()
    name, roles = str(form.get("name", "")), form.getlist("roles")
    try:
        _, code = await site_of(request).office.add(known_person(request).name, name, _roles(roles))
    except Refused as exc:
        return await _page(request, exc, typed=name)
    return await _page(request, code=code, code_of=name)


@router.post("/admin/people/{no}/roles")
async def set_roles(request: Request, no: Number) -> Response:
    roles = (await request.form()).getlist("roles")
    try:
        await site_of(request).office.set_roles(known_person(request).name, no, _roles(roles))
    except Refused as exc:
        return await _page(request, exc)
    return RedirectResponse("/admin", 303)


@router.post("/admin/people/{no}/disabled")
async def set_disabled(request: Request, no: Number) -> Response:
    disabled = (await request.form()).get("disabled") == "yes"
    try:
        await site_of(request).office.set_disabled(known_person(request).name, no, disabled)
    except Refused as exc:
        return await _page(request, exc)
    return RedirectResponse("/admin", 303)


@router.post("/admin/people/{no}/code")
async def new_code(request: Request, no: Number) -> Response:
    office = site_of(request).office
    try:
        code = await office.reset_password(known_person(request).name, no)
        account = await office.read(people.require, no)
    except Refused as exc:
        return await _page(request, exc)
    return await _page(request, code=code, code_of=account.person.name)


async def _page(
    request: Request, refused: Refused | None = None, *, typed: str = "", code: str = "", code_of: str = ""
) -> Response:
    """The list; a code is shown in this one answer and nowhere again."""
    site = site_of(request)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    accounts = [_account_view(account, now_ms) for account in await site.office.read(people.everyone)]
    return site.page(
        "admin.html", 200 if refused is None else status_of(refused), here="admin", people=accounts,
        pieces={"people": "_people.html"},
        roles=[(role.value, word(f"role.{role}")) for role in Role], problem="" if refused is None else told(refused),
        typed=typed, code=code, code_of=code_of, certificate=_certificate_notice(request),
    )  # fmt: skip


def _account_view(account: Account, now_ms: int) -> dict[str, Any]:
    state = "active" if account.password_hash is not None else "code" if account.has_code(now_ms) else "nocode"
    return {
        "no": account.person.no, "name": account.person.name, "roles": account.person.roles,
        "disabled": account.disabled, "state": word(f"people.{'disabled' if account.disabled else state}"),
    }  # fmt: skip


def _certificate_notice(request: Request) -> str:
    """What to see to about our own certificate; "" where there is nothing."""
    pair = site_of(request).settings.tls
    try:
        return in_words(read_certificate(pair.certificate).notice(datetime.now(UTC))) if pair is not None else ""
    except TlsError as exc:
        return in_words(exc)


def _roles(names: list[Any]) -> list[Role]:
    """Raises Refused: not one of ours."""
    try:
        return [Role(str(name)) for name in names]
    except ValueError as exc:
        raise Refused("people.badrole") from exc
