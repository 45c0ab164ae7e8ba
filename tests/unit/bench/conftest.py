"""The comparisons' own tests run torch as training's do."""

from tests.support.one_thread import one_thread as one_thread
