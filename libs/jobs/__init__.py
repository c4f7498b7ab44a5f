"""Declared periodic jobs: one replica at a time, a row per run."""

from libs.jobs.job import Counts, Job
from libs.jobs.scheduler import Scheduler
from libs.jobs.store import UnknownJob, get_run, list_jobs, list_runs, request_run, set_paused

__all__ = ["Counts", "Job", "Scheduler", "UnknownJob", "get_run", "list_jobs", "list_runs", "request_run", "set_paused"]
