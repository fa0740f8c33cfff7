# Bare `make` prints the menu.
.DEFAULT_GOAL := help
.PHONY: help check test demo drills fmt bench setup

help:        ## this menu
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup:       ## install what is missing (apt, PyPI) and make .venv
	@scripts/setup

check: setup ## lint, types, import contracts, fast tests (under 2 minutes)
	@scripts/check

fmt: setup   ## format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

test: setup  ## everything: check, then tests on real guests
	@scripts/test

demo: setup  ## boot a real guest, back it up, break and mend its agent, restore it, prove the restore
	@scripts/demo

drills: setup ## put faults into real guests, see what is proven and mended; writes docs/drills.md
	@scripts/drills

bench: setup ## measure against restic and borg on the same image
	@scripts/bench
