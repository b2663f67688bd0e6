"""A process that dies at any write of a row is simply run again."""

import subprocess

import pytest

from actuary.state import campaigns, jobs

_SCRIPT = """
import dataclasses, sys
from actuary.state import campaigns, database, jobs
db = database.Database.open(sys.argv[1])
store = campaigns.Campaigns(db)
made = store.create(campaigns.CampaignRecord(name="campaigns/c", spec={}, spec_digest="d"))
if made.state != "RUNNING":
    store.update(dataclasses.replace(made, state="RUNNING"), made.version)
work = jobs.Jobs(db)
job = work.create(
    jobs.JobRecord(name="j", kind="k", campaign="campaigns/c", spec={}, spec_digest="d", cap_micros=100)
)
if job.state != "RUNNING":
    work.update(dataclasses.replace(job, state="RUNNING"), job.version)
work.report("j", 0, 0, {"cost_micros": 10}, 20)
"""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("write", ["campaign.create", "campaign.update", "job.create", "job.update"])
def test_rows_are_the_same_after_a_kill_and_another_run(db, url, python, monkeypatch, write, side):
    monkeypatch.setenv("ACTUARY_FAILPOINT", f"{write}.{side}")
    assert subprocess.run([*python, _SCRIPT, url], check=False).returncode == -9
    monkeypatch.delenv("ACTUARY_FAILPOINT")
    assert subprocess.run([*python, _SCRIPT, url], check=False).returncode == 0
    campaign, job = campaigns.Campaigns(db).get("campaigns/c"), jobs.Jobs(db).get("j")
    assert (campaign.version, campaign.state) == (job.version, job.state) == (2, "RUNNING")
    assert jobs.Jobs(db).totals("j") == {"cost_micros": 10}
