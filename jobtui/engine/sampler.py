"""The sampler: once a second it records what the hosts of running jobs do.

It learns of jobs from the messages that the engine publishes, and of hosts from the gauges in the progress of
their tasks. A job whose hosts measure nothing has no samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import nan

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock
from jobtui.engine.client import EngineEvent
from jobtui.engine.samples import NO_FIGURES, Figures, Gauge, JobSamples, SampleBuffer, SampleFiles
from jobtui.model import Job, JobChanged, JobsArchived, Status
from jobtui.storage.base import HostGauges

SAMPLE_SECONDS = 1.0
STALE_SECONDS = 2.5  # gauges come about once a second; a host that sends none for longer does nothing
_MIN_SECONDS = 0.2  # the last moment may come immediately after the one before
_MIN_MOMENTS = 2  # a chart of one moment shows nothing


class _HostReadings:
    """The gauges of one task: those of the last moment, and those that have come since.

    Times are steady.
    """

    def __init__(self, gauges: HostGauges, now: float) -> None:
        self.newest, self.noted_at = gauges, now
        self.is_working = True
        self._sampled, self._sampled_at = gauges, now
        self._rates = (0.0, 0.0)
        self._is_fresh = True

    def note(self, gauges: HostGauges, now: float) -> None:
        self.newest, self.noted_at, self._is_fresh = gauges, now, True

    def take(self, now: float, since: float) -> Figures:
        """Return the figures of this moment; `since` is the time of the moment before."""
        newest, before = self.newest, self._sampled
        if not (self._is_fresh or self.is_working):
            return NO_FIGURES
        if self.noted_at > self._sampled_at or newest is not before:
            # the gauges of a short task arrive together: a thousandth of a second would make them GiB/s
            elapsed = max(self.noted_at - self._sampled_at, now - since, _MIN_SECONDS)
            # a task that continues after a pause counts from 0 again
            read = newest.read - before.read if newest.read >= before.read else newest.read
            written = newest.written - before.written if newest.written >= before.written else newest.written
            self._rates = read / elapsed, written / elapsed
        elif now - self.noted_at > STALE_SECONDS:
            self._rates = 0.0, 0.0
        self._is_fresh, self._sampled, self._sampled_at = False, newest, self.noted_at
        return (*self._rates, _known(newest.l0_files), _known(newest.free))


class _SampledJob:
    """A running job with its samples."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self.buffer = SampleBuffer(job.id, [task.host for task in job.tasks])
        self._clock = clock
        self._began = clock.steady()
        # it may have run before, also in an earlier process
        self._offset = max(0.0, (clock.now() - job.start).total_seconds()) if job.start is not None else 0.0
        self._last = self._began
        self._hosts: dict[int, _HostReadings] = {}

    @property
    def continues(self) -> bool:
        """Whether the job may have run before, in an earlier process."""
        return self._offset >= SAMPLE_SECONDS

    def note(self, task: int, gauges: HostGauges) -> None:
        now = self._clock.steady()
        if task in self._hosts:
            self._hosts[task].note(gauges, now)
        else:
            self._hosts[task] = _HostReadings(gauges, now)

    def follow(self, job: Job) -> None:
        for task in job.tasks:
            if task.number in self._hosts:
                self._hosts[task.number].is_working = task.status is Status.RUNNING

    def sample(self, *, last: bool = False) -> None:
        now, since = self._clock.steady(), self._last
        if now <= since:
            return
        self._last = now
        figures = {number: readings.take(now, since) for number, readings in self._hosts.items()}
        known = [found for found in figures.values() if found is not NO_FIGURES]
        # what a host held when its task ended counts until the job ends
        held = [readings.newest for readings in self._hosts.values()]
        files = [gauges.l0_files for gauges in held if gauges.l0_files is not None]
        total = (
            sum(found[Gauge.READ] for found in known),
            sum(found[Gauge.WRITTEN] for found in known),
            float(sum(files)) if files else nan,
            float(min((gauges.free for gauges in held if gauges.free is not None), default=nan)),
        )
        self.buffer.add(self._offset + now - self._began, figures, total, last=last)


def _known(figure: int | None) -> float:
    return nan if figure is None else float(figure)


class Sampler:
    """The recorder of samples, active while jobs run. For the engine's loop alone.

    `current`: returns a job if it is queued or running.
    """

    def __init__(
        self, files: SampleFiles, current: Callable[[int], Job | None], clock: Clock, tasks: BackgroundTasks
    ) -> None:
        self._files = files
        self._current = current
        self._clock = clock
        self._tasks = tasks
        self._jobs: dict[int, _SampledJob] = {}
        self._ended: dict[int, JobSamples] = {}
        self._ticks = False

    async def fetch(self, job_id: int) -> JobSamples | None:
        """Return the samples of a running or ended job, None if there are none."""
        if (sampled := self._jobs.get(job_id)) is not None:
            return sampled.buffer.samples()
        if job_id in self._ended:
            return self._ended[job_id]
        return await asyncio.to_thread(self._files.read, job_id)

    def note(self, job_id: int, task: int, gauges: HostGauges) -> None:
        """Take what was measured for a task of a running job."""
        sampled = self._jobs.get(job_id)
        if sampled is None:
            job = self._current(job_id)
            if job is None:
                return
            sampled = self._jobs[job_id] = _SampledJob(job, self._clock)
            if sampled.continues:
                self._tasks.spawn(self._restore(job_id, sampled))
            if not self._ticks:
                self._ticks = True
                self._tasks.spawn(self._run())
        sampled.note(task, gauges)

    def observe(self, messages: Sequence[EngineEvent]) -> None:
        """Follow the sampled jobs to their end, when their samples are written to a file."""
        for message in messages:
            if isinstance(message, JobChanged) and message.job.id in self._jobs:
                self._follow(message.job)
            elif isinstance(message, JobsArchived):
                self._tasks.spawn(asyncio.to_thread(self._files.delete, message.ids))

    def tick(self) -> None:
        """Record a moment of every running job."""
        for sampled in self._jobs.values():
            sampled.sample()

    def save(self) -> None:
        """Write the samples of the jobs that still run, for the next owner of the profile; blocks."""
        for sampled in self._jobs.values():
            if len(sampled.buffer) >= _MIN_MOMENTS:
                self._files.write(sampled.buffer.samples())

    def _follow(self, job: Job) -> None:
        sampled = self._jobs[job.id]
        sampled.follow(job)
        if job.status.ended:
            del self._jobs[job.id]
            sampled.sample(last=True)
            # most jobs are too short: no thread for them
            if len(sampled.buffer) >= _MIN_MOMENTS:
                self._ended[job.id] = sampled.buffer.samples()
                self._tasks.spawn(self._write(self._ended[job.id]))

    async def _restore(self, job_id: int, sampled: _SampledJob) -> None:
        found = await asyncio.to_thread(self._files.read, job_id)
        if found is not None and job_id in self._jobs:
            sampled.buffer.restore(found)

    async def _write(self, samples: JobSamples) -> None:
        # kept until it is written, so that the chart never disappears in between
        try:
            await asyncio.to_thread(self._files.write, samples)
        finally:
            self._ended.pop(samples.job, None)

    async def _run(self) -> None:
        try:
            while self._jobs:
                # the real time: a test's clock stands still
                await asyncio.sleep(SAMPLE_SECONDS)
                self.tick()
        finally:
            self._ticks = False
