"""Runs on live markets as users start them: beside a recorder, and on a WebSocket."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk_runs import wait_until
from live_writer import Recorder, market_plan
from live_writer import run as write_plan
from publishers import desk
from scripted_okx import ScriptedOkx, until
from test_sources import beside, serve
from trading_runs import FILES, TradingRun, contents, report_in, trading, trading_run
