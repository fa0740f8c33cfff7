from tests.cli.conftest import Vmkeep


def test_vm_list_shows_what_the_next_backup_should_reach(vmkeep: Vmkeep) -> None:
    shown = vmkeep("vm", "list").output
    assert "web01" in shown
    assert "file-system" in shown


def test_vault_create_makes_a_vault(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    assert "main" in vmkeep("vault", "list").output
