"""Why a request gets no prediction: always JSON, with what went wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse

from inspector.web.words import Text


class Declined(Exception):
    """Answer with `status` and the words for `declined.<key>`, in the language of whom we answer.

    todo: the key of what to do, where several share one. retry_after_s: it is worth to ask again then.
    """

    def __init__(
        self, status: int, key: str, *, todo: str = "", retry_after_s: int | None = None, **values: object
    ) -> None:
        self._error, self._todo = Text(f"declined.{key}", **values), Text(f"declined.{todo or key}.todo", **values)
        super().__init__(self.error)
        self.status, self.retry_after_s = status, retry_after_s

    @property
    def error(self) -> str:
        return str(self._error)

    @property
    def what_to_do(self) -> str:
        return str(self._todo)

    def answer(self) -> JSONResponse:
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return error_answer(self.status, self.error, self.what_to_do, headers)


def error_answer(status: int, error: str, what_to_do: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error, "what_to_do": what_to_do}, status, headers)
