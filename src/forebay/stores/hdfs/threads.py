"""Threads: where the blocking calls of hdfs-native run, each with a deadline of ours."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from forebay.model.errors import StoreAway

Result = TypeVar("Result")

_END: Final = None


class Job:
    """One call: what to run, and the future that its answer goes to."""

    __slots__ = ("dropped", "future", "started", "work")

    def __init__(self, work: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.future = future
        self.started = False
        self.dropped = False


class Threads:
    """At most `most` daemon threads that run one blocking call each.

    A call whose deadline has passed is abandoned: nobody waits for it any longer, but it keeps its
    thread until it returns, because a thread cannot be stopped. When all threads hang, further
    calls are refused at once: a store that does not answer costs a bounded number of threads.
    Daemon threads, because the interpreter must be able to end while one of them hangs.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0
        self._busy = 0
        self._waiting = 0
        self._abandoned = 0
        self._closed = False

    @property
    def running(self) -> int:
        """How many threads there are."""
        return self._running

    @property
    def abandoned(self) -> int:
        """How many threads are in a call that nobody waits for any longer."""
        return self._abandoned

    async def run(self, work: Callable[[], Result], seconds: float, subject: object) -> Result:
        """What `work` returns or raises.

        Raises:
            StoreAway: it took more than `seconds`, or all threads hang.
        """
        result: Result = await self.wait(self.start(work, subject), seconds, subject)
        return result

    def start(self, work: Callable[[], Any], subject: object) -> Job:
        """Begin a call whose answer is wanted later; `wait` for it or `drop` it."""
        with self._lock:
            if self._closed:
                raise StoreAway(subject, "the store was closed")
            if self._abandoned >= self._most:
                raise StoreAway(subject, f"{self._abandoned} earlier calls still hang")
            job = Job(work, asyncio.get_running_loop().create_future())
            self._waiting += 1
            # A thread for each waiting job, up to the most.
            if self._running - self._busy < self._waiting and self._running < self._most:
                self._running += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._jobs.put(job)
        return job

    async def wait(self, job: Job, seconds: float, subject: object) -> Any:  # noqa: ANN401 - the job's own
        """The answer of a job, at most `seconds` from now.

        Raises:
            StoreAway: it did not come in time; the job is dropped.
        """
        try:
            async with asyncio.timeout(seconds):
                return await job.future
        except TimeoutError as problem:
            raise StoreAway(subject, f"no answer within {seconds:g} s") from problem
        finally:
            if not job.future.done() or job.future.cancelled():
                self.drop(job)

    def drop(self, job: Job) -> None:
        """Let go of a job: it is not begun any more, or its answer goes nowhere."""
        with self._lock:
            if job.dropped:
                return
            job.dropped = True
            if job.started:
                self._abandoned += 1
        if job.future.done():
            if not job.future.cancelled():
                job.future.exception()  # else the loop would tell of an error nobody asked for
        else:
            job.future.cancel()

    def close(self) -> None:
        """Let the threads end, each as soon as its call does."""
        with self._lock:
            self._closed = True
            running = self._running
        for _ in range(running):
            self._jobs.put(_END)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _END:
            with self._lock:
                self._waiting -= 1
                wanted = not job.dropped
                job.started = wanted
                self._busy += wanted
            if wanted:
                self._answer(job)
            # An idle thread must not keep the last call's reader alive.
            del job
        with self._lock:
            self._running -= 1

    def _answer(self, job: Job) -> None:
        result: object = None
        problem: BaseException | None = None
        try:
            result = job.work()
        except BaseException as raised:  # noqa: BLE001 - Rust's panics are no Exceptions
            problem = raised
        with self._lock:
            self._busy -= 1
            job.started = False
            if job.dropped:
                self._abandoned -= 1
                return
        try:
            job.future.get_loop().call_soon_threadsafe(_settle, job, result, problem)
        except RuntimeError:
            return  # the loop has ended: nobody waits


def _settle(job: Job, result: object, problem: BaseException | None) -> None:
    if job.future.done():
        return
    if problem is None:
        job.future.set_result(result)
    else:
        job.future.set_exception(problem)
