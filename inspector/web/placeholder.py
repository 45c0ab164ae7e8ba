"""What stands where a picture would be that the record names and nobody has any more, as after a restore.

A backup holds no pictures, so the rows of a restored box name many that are gone. A page that asks for one shows this,
not a hole; who asks for the picture itself (a program, an address that is typed in) is told that there is none.
"""

from __future__ import annotations

from textwrap import wrap

from fastapi import Request
from fastapi.responses import Response
from markupsafe import escape

from inspector.web.words import word

WIDTH, HEIGHT, LINE = 196, 132, 30  # of the drawing; twice what the filmstrip shows
LETTERS = 12  # in a line
INK = "#7d7d7d"  # a picture cannot know whether the page is light or dark


def wants_a_picture(request: Request) -> bool:
    """True for a browser that fills an <img>: it asks for pictures before anything else."""
    return request.headers.get("accept", "").startswith("image/")


def not_kept() -> Response:
    """A drawing that says so, in the language of who asks. Never kept by the browser: the picture may come back."""
    lines = wrap(word("picture.notkept"), LETTERS)
    first = (HEIGHT - LINE * (len(lines) - 1)) / 2 + LINE / 3
    told = "".join(
        f'<text x="{WIDTH / 2:g}" y="{first + n * LINE:g}" text-anchor="middle">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<g fill="{INK}" font-family="sans-serif" font-size="{LINE - 5}">{told}</g></svg>'
    )
    return Response(drawing, media_type="image/svg+xml", headers={"cache-control": "no-store"})
