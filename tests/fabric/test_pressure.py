"""What the kernel says of its host becomes evidence."""

from pathlib import Path

from vmkeep.diagnosis.evidence import HostFact
from vmkeep.fabric.pressure import CpuTime, read_pressure

CPU = """some avg10=23.56 avg60=39.96 avg300=53.38 total=14232079267
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
MEMORY = """some avg10=1.00 avg60=2.00 avg300=30.00 total=254801
full avg10=0.00 avg60=0.00 avg300=7.90 total=167770
"""


def test_pressure_is_that_of_five_minutes(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text(CPU)
    (tmp_path / "memory").write_text(MEMORY)
    assert dict(read_pressure(tmp_path)) == {HostFact.CPU_PRESSURE: "53", HostFact.MEMORY_PRESSURE: "7"}


def test_a_kernel_that_does_not_tell_is_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("")
    assert not dict(read_pressure(tmp_path))


def test_share_waited_is_of_the_time_with_work() -> None:
    assert CpuTime(ran=150, waited=350).share_waited(CpuTime(ran=100, waited=200)) == 75


def test_cpus_at_rest_wait_for_nothing() -> None:
    assert CpuTime(ran=100, waited=200).share_waited(CpuTime(ran=100, waited=200)) == 0
