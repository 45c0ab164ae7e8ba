"""Why a request gets no prediction: always JSON, with what went wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse


class Declined(Exception):
    """Answer with `status`; retry_after_s: it is worth to ask again then."""

    def __init__(self, status: int, error: str, what_to_do: str, retry_after_s: int | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.what_to_do, self.retry_after_s = status, error, what_to_do, retry_after_s

    def answer(self) -> JSONResponse:
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return error_answer(self.status, self.error, self.what_to_do, headers)


def error_answer(status: int, error: str, what_to_do: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error, "what_to_do": what_to_do}, status, headers)
